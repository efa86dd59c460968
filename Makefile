# Everything from a fresh checkout: Python 3.11 or newer and make are enough.
# Has to work with GNU make 3.81, the one of macOS.

.DEFAULT_GOAL := help
.PHONY: help demo test all-tests pages check bench bench-detect golden dashboard-images clean programs-demo programs-test

ARGS ?=
PYTEST_ARGS ?= -n 3 --dist loadgroup
PYTHON ?=
export PYTHON

BIN := .venv/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check
PRISM := tests/contract/node_modules/.stamp

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
	@$(MAKE) --no-print-directory -j 2 .venv/.stamp-dev programs-test $(if $(wildcard tests/contract/package.json),$(PRISM))
	@$(MAKE) --no-print-directory -j 2 check all-tests

all-tests:
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

pages: .venv/.stamp-dev programs-test ## every fault of the sandbox, from its beginning to its page and its end
	@ALL_PAGES=1 $(BIN)/python -m pytest tests/test_e2e_pages.py $(ARGS)

check: .venv/.stamp-dev ## format, lint and types, without tests
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy

bench: .venv/.stamp-dev ## measure start-up, memory, log reading and callbacks against their goals
	@failed=0; for file in tests/bench/bench_*.py; do \
		$(BIN)/python -m "tests.bench.$$(basename "$$file" .py)" || failed=1; \
	done; exit $$failed

bench-detect: .venv/.stamp-dev ## half a year of simulated traffic: how fast and how rightly operator faults are named
	@$(BIN)/python -m tests.bench.detect $(ARGS)

golden: .venv/.stamp-dev ## rewrite the golden files; review the diff
	@UPDATE_GOLDEN=1 $(BIN)/python -m pytest -q tests/test_exporter_metrics.py tests/test_exporter_config.py \
		tests/test_repo_docs.py tests/test_alerts_rules.py tests/test_alerts_time_to_page.py tests/test_dashboards.py
	@git --no-pager diff --stat -- alerts dashboards docs examples tests

dashboard-images: .venv/.stamp-dev programs-test ## draw the dashboards into docs/images (450 MB of npm)
	@npm install --prefix tests/grafana --legacy-peer-deps --no-audit --no-fund --no-package-lock --loglevel error
	@npm run --prefix tests/grafana --silent build
	@$(BIN)/python -m tests.grafana.render $(ARGS)

clean: ## remove all that the other targets made
	@rm -rf .venv .programs tests/contract/node_modules tests/grafana/node_modules build dist demo-data
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
