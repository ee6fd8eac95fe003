#!/usr/bin/env bash
# Installs what is missing, builds, serves the bundled model over two CPU workers of unequal memory, or where there is an
# NVIDIA driver over a worker per GPU, and streams an answer. On a terminal it then goes on serving until Ctrl-C.
set -euo pipefail
cd "$(dirname "$0")/.."
deploy/install-deps.sh
if [[ -e /proc/driver/nvidia/version ]]; then
  if home=$(deploy/install-cuda.sh --home); then
    export CUDA_HOME=$home
  else
    echo "Going on without the GPU." >&2
  fi
fi
deploy/build.sh -DLAYERCAKE_TESTS=OFF -DLAYERCAKE_WERROR=OFF

address=${LAYERCAKE_ADDRESS:-127.0.0.1:50051}
bin=$PWD/build/release/bin
devices=(--cpu-workers 2 --memory 24MiB,12MiB)
served="one model cut across two worker processes"
usable_gpu='/"kind"/ {gpu = /CUDA/} /"problem": ""/ {usable += gpu} END {exit !usable}'
if "$bin/layercake-worker" --list-devices -o json | awk "$usable_gpu"; then
  devices=()
  served="one model with a worker per GPU"
fi
"$bin/layercake" serve deploy/demo/model --listen "$address" "${devices[@]}" &
serve=$!
trap 'kill -TERM "$serve" 2>/dev/null; wait "$serve" 2>/dev/null || true' EXIT

until "$bin/layercake" status --address "$address" -o json 2>/dev/null |
  grep -q SERVING_STATE_READY; do
  kill -0 "$serve" 2>/dev/null || { wait "$serve" || exit $?; }
  sleep 0.2
done

echo
"$bin/layercake" run --address "$address" --stats --echo --max-tokens 64 "In the beginning"
cat <<TXT

That was $served. While it serves:
  build/release/bin/layercake status                        who holds which layers
  build/release/bin/layercake chat                          talk to it
  build/release/bin/layercake bench --concurrency 8         how fast it is
  build/release/bin/layercake serve YOUR_MODEL_DIR          the same with a Hugging Face model of yours
TXT
if [[ -t 0 ]]; then
  echo "Serving on $address until Ctrl-C."
  wait "$serve"
fi
