#!/usr/bin/env bash
# Finds a CUDA toolkit (12 or newer), or installs the parts of one that building LayerCake needs, from NVIDIA's wheels on
# PyPI, into --prefix (default ~/.local/share/layercake/cuda). Needs no root and no driver. Prints the
# line that tells deploy/build.sh where it is.
#
#   deploy/install-cuda.sh [--prefix DIR] [--cuda 12|13] [--nccl] [--cublas] [--sanitizer] [--force] [--home]
#
#   --cuda       only this version will do: 12 for cards older than Turing (compute capability 7.5)
#   --nccl       NCCL too (200 MB): activations from GPU to GPU
#   --cublas     cuBLASLt too (420 MB): for layercake-worker --dense-products cublaslt
#   --sanitizer  compute-sanitizer too (40 MB), which tests/gpu runs the kernels under
#   --force      install even where a toolkit is found
#   --home       print where it is, and nothing else
#
# CUDA 12 is found, not installed: of its compiler PyPI has the assembler and libNVVM, but no nvcc. Debian 13 and
# Ubuntu 24.04 have all of it: apt-get install nvidia-cuda-toolkit (of non-free and multiverse), g++-12 on Ubuntu.
set -euo pipefail

packages=(nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88
  nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85)
prefix=${XDG_DATA_HOME:-$HOME/.local/share}/layercake/cuda
force=no
cuda=
nccl=no
cublas=no
sanitizer=no
home_only=no
archive=https://developer.nvidia.com/cuda-toolkit-archive

fail() {
  echo "install-cuda.sh: $1" >&2
  exit "${2:-1}"
}

while [[ $# -gt 0 ]]; do
  case $1 in
    --prefix) prefix=${2:?--prefix needs a directory} && shift 2 ;;
    --cuda) cuda=${2:?--cuda needs a version} && shift 2 ;;
    --nccl) nccl=yes && shift ;;
    --cublas) cublas=yes && shift ;;
    --sanitizer) sanitizer=yes && shift ;;
    --force) force=yes && shift ;;
    --home) home_only=yes && shift ;;
    *) fail "unknown argument $1; see the top of the script" 2 ;;
  esac
done

case $cuda in
  '' | 12 | 13) ;;
  *) fail "--cuda $cuda is neither 12 nor 13" 2 ;;
esac

# The toolkit at $1 is complete, and of a version that will do.
usable() {
  local version
  [[ -x $1/bin/nvcc && -f $1/include/cuda_runtime.h ]] || return 1
  version=$("$1/bin/nvcc" --version 2>/dev/null | sed -n 's/.*release \([0-9]*\)\..*/\1/p')
  [[ ${version:-0} -ge 12 && ( -z $cuda || $version == "$cuda" ) ]] || return 1
  [[ $nccl == no || -f $1/include/nccl.h ]] || return 1
  [[ $cublas == no || -e $1/lib64/libcublasLt.so.$version ||
    -e $1/lib/$(uname -m)-linux-gnu/libcublasLt.so.$version ]] || return 1
  [[ $sanitizer == no || -x $1/bin/compute-sanitizer ]]
}

installed() {
  if [[ $home_only == yes ]]; then
    echo "$1"
    exit 0
  fi
  echo "CUDA $("$1/bin/nvcc" --version | sed -n 's/.*release \([0-9.]*\),.*/\1/p') is in $1"
  echo "Build with it:"
  echo "  CUDA_HOME=$1 deploy/build.sh -DLAYERCAKE_CUDA=ON"
  exit 0
}

if [[ $force == no ]]; then
  on_path=$(command -v nvcc || true)
  for home in "${CUDA_HOME:-}" "${CUDA_PATH:-}" "${on_path:+$(dirname "$(dirname "$on_path")")}" \
    /usr/local/cuda /usr/local/cuda-1[2-9]* "$prefix/nvidia/cu13"; do
    if [[ -n $home ]] && usable "$home"; then installed "$home"; fi
  done
fi

[[ $cuda != 12 ]] || fail "there is no CUDA 12 here with all that was asked for, and PyPI has no nvcc of it: \
on Debian 13 (non-free) or Ubuntu 24.04 (multiverse) install nvidia-cuda-toolkit and g++-12, elsewhere one from \
$archive, and set CUDA_HOME to it"

case $(uname -m) in
  x86_64 | aarch64) ;;
  *) fail "NVIDIA publishes CUDA for x86_64 and aarch64, not for $(uname -m)" ;;
esac
python3 -m pip --version >/dev/null 2>&1 ||
  fail "needs Python's pip: install the package python3-pip, or set CUDA_HOME to a toolkit"
[[ $nccl == no ]] || packages+=(nvidia-nccl-cu13==2.28.9)
[[ $cublas == no ]] || packages+=(nvidia-cublas==13.1.0.3)
[[ $sanitizer == no ]] || packages+=(nvidia-cuda-sanitizer-api==13.0.85)

mkdir -p "$prefix" || fail "cannot write to $prefix; choose another --prefix"
free_kib=$(df -Pk "$prefix" | awk 'NR == 2 {print $4}')
[[ $free_kib -gt 1500000 ]] ||
  fail "$prefix has $((free_kib / 1024)) MiB free and 1.5 GB are needed; choose another --prefix"
echo "Installing ${packages[*]} into $prefix" >&2
python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --upgrade \
  --no-deps --only-binary :all: --target "$prefix" "${packages[@]}" ||
  fail "pip could not install the wheels; is PyPI (or your index, see pip config) reachable?"

home=$prefix/nvidia/cu13
if [[ -d $prefix/nvidia/nccl ]]; then
  cp -r "$prefix/nvidia/nccl/include/." "$home/include/"
  cp -r "$prefix/nvidia/nccl/lib/." "$home/lib/"
fi
# The names that compilers and CMake look for.
ln -sfn lib "$home/lib64"
ln -sf libcudart.so.13 "$home/lib/libcudart.so"
usable "$home" || fail "the wheels in $prefix are not complete; remove it and try again"
installed "$home"
