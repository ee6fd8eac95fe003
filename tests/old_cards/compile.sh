#!/usr/bin/env bash
# Compiles every CUDA kernel for one old card to PTX, with clang: compile.sh CLANG ROOT CAPABILITY OUT.
# Where PTXAS names CUDA 12's assembler (PyPI: nvidia-cuda-nvcc-cu12), to machine code too.
set -euo pipefail
[[ -x $1 ]] || { echo "skipped: there is no clang++" >&2; exit 77; }
clang=$1 root=$2 capability=$3 out=$4
mkdir -p "$out"
count=0
for kernel in "$root"/worker/*/*_cuda.cu; do
  ptx=$out/$(basename "$kernel" .cu).sm_$capability.ptx
  "$clang" -x cuda --cuda-device-only --cuda-gpu-arch="sm_$capability" -nocudainc -nocudalib \
    --cuda-path=/nonexistent -Xclang -target-feature -Xclang +ptx64 -std=c++20 -O3 -ffp-contract=off \
    -Wall -Wextra -Werror -Wno-unused-function -Wno-unknown-cuda-version \
    -I"$root/tests/old_cards" -I"$root" -include cuda_runtime.h -S -o "$ptx" "$kernel"
  grep -q "^.target sm_$capability" "$ptx"
  if grep -q "^.extern .func" "$ptx"; then
    echo "$kernel calls what this card's code does not have:" >&2
    grep "^.extern .func" "$ptx" >&2
    exit 1
  fi
  [[ -z ${PTXAS:-} ]] || "$PTXAS" -arch "sm_$capability" -o "$ptx.cubin" "$ptx"
  entries=$(grep -c "\.entry" "$ptx" || true)
  echo "$(basename "$kernel"): $entries kernels for compute capability $capability"
  count=$((count + entries))
done
[[ $count -gt 0 ]] || { echo "no kernels found under $root" >&2; exit 1; }
