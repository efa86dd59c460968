# Everything from a fresh checkout: Python 3.11 or newer and make are enough.
# Has to work with GNU make 3.81, the one of macOS.

.DEFAULT_GOAL := help
.PHONY: help demo test all-tests pages check bench bench-detect fuzz golden lock image-check release-check dashboard-images clean programs-demo programs-test

ARGS ?=
MINUTES ?= 10
PYTEST_ARGS ?= -n 3 --dist loadgroup
PYTHON ?=
export PYTHON

BIN := .venv/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check
PRISM := tests/contract/node_modules/.stamp
DEPLOY := tests/deploy/node_modules/.stamp

# Without a Python that runs (removed, upgraded) the stamps beside it mean nothing.
$(shell [ -x .venv/bin/python ] || rm -f .venv/.stamp-run .venv/.stamp-dev)

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo 'make demo ARGS="--fault balance_exhausted"    make test PYTEST_ARGS="-k balance"'
	@echo 'SYSTEM_PACKAGES=skip: install nothing outside this folder    CI=true: skip no test'

demo: .venv/.stamp-run programs-demo ## the exporter against its own sandbox, with Prometheus and Alertmanager
	@$(BIN)/twofa-exporter demo $(ARGS)

# Installing and looking for types leave one processor idle: side by side they cost a minute less.
test: .venv/bin/python ## lint, types, all tests
	@$(MAKE) --no-print-directory -j 2 .venv/.stamp-dev programs-test $(if $(wildcard tests/contract/package.json),$(PRISM)) $(DEPLOY)
	@$(MAKE) --no-print-directory -j 2 check all-tests

all-tests:
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

pages: .venv/.stamp-dev programs-test ## every fault of the sandbox, from its beginning to its page and its end
	@ALL_PAGES=1 $(BIN)/python -m pytest tests/test_e2e_pages.py $(ARGS)

check: .venv/.stamp-dev ## format, lint and types, without tests
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy

bench: .venv/.stamp-dev ## measure against the goals, write docs/BENCHMARKS.md; ARGS=scrape runs one
	@$(BIN)/python -m tests.bench.report $(ARGS)

bench-detect: .venv/.stamp-dev ## half a year of simulated traffic: how fast and how rightly operator faults are named
	@$(BIN)/python -m tests.bench.detect $(ARGS)

fuzz: .venv/.stamp-dev programs-test ## hostile input for MINUTES=10; what breaks is kept in tests/fuzz/corpus
	@$(BIN)/python -m tests.fuzz --minutes $(MINUTES) $(ARGS)

release-check: .venv/.stamp-dev ## reproducible wheel, SBOM, licences, known holes: before a release
	@$(PIP) install --group release
	@$(BIN)/python -m tests.release $(ARGS)

lock: .venv/.stamp-dev ## write which versions the container image is made of
	@$(BIN)/python -m tests.deploy.lock $(ARGS)

image-check: .venv/.stamp-dev ## what the Containerfile does, without a container engine: a minute
	@$(BIN)/python -m tests.deploy.image_check

golden: .venv/.stamp-dev ## rewrite the golden files; review the diff
	@UPDATE_GOLDEN=1 $(BIN)/python -m pytest -q tests/test_exporter_metrics.py tests/test_exporter_config.py \
		tests/test_repo_docs.py tests/test_alerts_rules.py tests/test_alerts_time_to_page.py tests/test_dashboards.py \
		tests/test_deploy_helm.py
	@git --no-pager diff --stat -- README.md alerts dashboards deploy docs examples tests

dashboard-images: .venv/.stamp-dev programs-test ## draw the dashboards into docs/images (450 MB of npm)
	@npm install --prefix tests/grafana --legacy-peer-deps --no-audit --no-fund --no-package-lock --loglevel error
	@npm run --prefix tests/grafana --silent build
	@$(BIN)/python -m tests.grafana.render $(ARGS)

clean: ## remove all that the other targets made
	@rm -rf .venv .programs tests/contract/node_modules tests/deploy/node_modules tests/grafana/node_modules build dist demo-data
	@rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find checks exporter tests -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@bash tests/venv.sh

.venv/.stamp-run: pyproject.toml | .venv/bin/python
	@echo 'Installing twofa-exporter and its dependencies into .venv'
	@$(PIP) install --editable .
	@touch $@

.venv/.stamp-dev: pyproject.toml | .venv/bin/python
	@echo 'Installing twofa-exporter, its dependencies and the tools of its tests into .venv'
	@$(PIP) install 'pip>=25.1'  # brings --group; the pip that comes with Python may be older
	@$(PIP) install --editable . --group dev
	@touch .venv/.stamp-run $@

programs-demo programs-test:
	@bash tests/system_packages.sh $(patsubst programs-%,%,$@)

# Helm, and the schemas that deploy/ is held to. Without them its tests skip, except in CI.
$(DEPLOY): tests/deploy/package.json tests/deploy/helm.sh | programs-test .venv/.stamp-dev
	@bash tests/deploy/helm.sh
	@echo 'Installing the schemas of the deployment files into tests/deploy/node_modules'
	@if npm install --prefix tests/deploy --no-audit --no-fund --no-package-lock --loglevel error; then \
		touch $@; \
	elif [ "$$CI" = true ]; then \
		exit 1; \
	else \
		echo 'npm could not: some tests of deploy/ will be skipped.' >&2; \
	fi

# The mock server of the contract tests. Without it they skip, except in CI.
$(PRISM): tests/contract/package.json | programs-test
	@echo 'Installing the mock server of the contract tests into tests/contract/node_modules'
	@if npm install --prefix tests/contract --no-audit --no-fund --no-package-lock --loglevel error; then \
		touch $@; \
	elif [ "$$CI" = true ]; then \
		exit 1; \
	else \
		echo 'npm could not: the contract tests will be skipped.' >&2; \
	fi
