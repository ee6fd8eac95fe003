#!/usr/bin/env bash
# Installs what is missing, builds with warnings as errors, runs every test.
set -euo pipefail
cd "$(dirname "$0")/.."
deploy/install-deps.sh --tests
deploy/build.sh -DLAYERCAKE_TESTS=ON -DLAYERCAKE_WERROR="${LAYERCAKE_WERROR:-OFF}"
ctest --preset release --parallel "$(nproc)"
