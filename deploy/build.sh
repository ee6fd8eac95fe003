#!/usr/bin/env bash
# Configures and builds the release preset, with ccache. Arguments go to `cmake --preset release`.
set -euo pipefail
cd "$(dirname "$0")/.."
cmake --preset release -DCMAKE_CXX_COMPILER_LAUNCHER=ccache "$@" >build-configure.log 2>&1 || {
  cat build-configure.log >&2
  exit 1
}
rm -f build-configure.log
cmake --build --preset release --parallel "$(nproc)"
