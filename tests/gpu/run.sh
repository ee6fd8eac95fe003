#!/usr/bin/env bash
# Runs all that needs a GPU, on a machine with an NVIDIA driver and nothing else of ours.
#
#   run.sh [--out FILE] [--only REGEX] [--rehearse]
#
# Needs bash and coreutils. Every part says PASS, FAIL or OWED, with the reason; --out appends a dated
# section in markdown. --only leaves out what needs a device and does not match. --rehearse serves on
# the CPU, a tiny model and little of it: it tries the script, not the hardware.
# Exit code: 0 nothing failed, 1 something failed, 2 bad use, 77 nothing failed but there is no GPU.
set -u
here=$(cd "$(dirname "$0")" && pwd)
out='' only='' rehearsal='' device=cuda:0 in_process=(--device 0)
concurrencies=(1 8 64) lengths=(--prompt-tokens 512 --output-tokens 128) prompts=(--prompt-tokens 2048) hop_memory=6GiB
while [ $# -gt 0 ]; do
  case $1 in
    --out) out=${2:?--out needs a file}; shift 2 ;;
    --rehearse)
      rehearsal=1 device=cpu in_process=(--threads 2) hop_memory=1GiB
      concurrencies=(1 2) lengths=(--prompt-tokens 16 --output-tokens 4) prompts=(--prompt-tokens 64)
      shift ;;
    --only) only=${2:?--only needs a regular expression}; shift 2 ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done
scratch=$(mktemp -d)
pids=()
finish() {
  [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null
  rm -rf "$scratch"
}
trap finish EXIT
export LAYERCAKE_GOLDEN_MODELS=$here/golden/models XDG_CACHE_HOME=$scratch

. "$here/serving.sh"

rows=() outputs=() num_failed=0 num_owed=0
say() {  # RESULT PART REASON
  printf '%-4s  %s: %s\n' "$1" "$2" "$3"
  rows+=("| $2 | $1 | ${3//|/\\|} |")
  case $1 in FAIL) num_failed=$((num_failed + 1)) ;; OWED) num_owed=$((num_owed + 1)) ;; esac
}
show() {  # TITLE FILE
  outputs+=("$(printf '\n%s:\n\n```\n%s\n```\n' "$1" "$(cat "$2")")")
}
wanted() {  # PART
  [ -z "$only" ] || grep -Eq -- "$only" <<<"$1" && return
  say OWED "$1" "left out by --only"
  return 1
}
launch() { "$here/launch" "$@"; }
# PART PROGRAM ARGUMENTS...: FAIL with the last words, or PASS with the last line.
check() {
  local part=$1 log=$scratch/log code
  wanted "$part" || return
  shift
  timeout 900 "$here/launch" "$@" >"$log" 2>&1
  code=$?
  if [ $code -eq 0 ]; then
    say PASS "$part" "$(tail -n 1 "$log")"
  else
    tail -n 40 "$log"
    show "$part, the last of it" <(tail -n 40 "$log")
    say FAIL "$part" "exit code $code: $(grep -v '^ *$' "$log" | tail -n 1)"
  fi
  return $code
}

# --- the bundle itself, with a GPU or without ---
strays=
for program in "$here"/bin/*; do
  for loader in "$here"/lib/glibc/ld-linux*; do
    found=$("$loader" --library-path "$here/lib/glibc:$here/lib" --list "$program" 2>&1) || strays+=" ${program##*/}"
    strays+=$(grep '=>' <<<"$found" | grep -v "=> $here/lib/" | awk -v p="${program##*/}" '{print " " p ":" $1}')
  done
done
if [ -z "$strays" ]; then
  say PASS "libraries" "all that $(ls "$here/bin" | wc -l) programs ask for is in the bundle"
else
  say FAIL "libraries" "not in the bundle:$strays"
fi
broken=
for program in "$here"/bin/*; do
  name=${program##*/}
  case $name in
    *_test) flag=--gtest_list_tests ;;
    layercake*) flag=--version ;;
    *) flag=--help ;;
  esac
  launch "$name" $flag >"$scratch/log" 2>&1 || broken+=" $name ($(head -n 1 "$scratch/log"))"
done
libc=bundled
LD_LIBRARY_PATH=$here/lib "$here/bin/layercake" --version >/dev/null 2>&1 && libc=own
if [ -z "$broken" ]; then
  say PASS "start" "every program starts, with the host's $libc C library"
else
  say FAIL "start" "these do not:$broken"
fi
if launch layercake-worker --list-devices >"$scratch/devices" 2>&1; then
  say PASS "list of devices" "layercake-worker --list-devices answers"
else
  say FAIL "list of devices" "$(tail -n 1 "$scratch/devices")"
fi

# --- the hardware ---
hardware="no GPU" gpu=
if command -v nvidia-smi >/dev/null; then
  smi=$(nvidia-smi --query-gpu=name,memory.total,driver_version,uuid --format=csv,noheader 2>&1) &&
    [ -n "$smi" ] && hardware=$(head -n 1 <<<"$smi" | cut -d, -f1-3)
fi
line=$(grep '^cuda:0 ' "$scratch/devices")
if [ -n "$line" ] && launch card_ops_test --gtest_filter='-*' >"$scratch/log" 2>&1; then
  gpu=1
elif [ -n "$line" ]; then
  missing="cuda:0 is there but does not compute: $(tail -n 1 "$scratch/log")"
else
  missing="no CUDA device: $(grep -v -e '^ *$' -e '^device' -e '^cpu' "$scratch/devices" | tail -n 1)"
fi

# --- parts that need a GPU, or rehearse what does ---
# NAME PACKAGES...: a library that programs load if there is one, also of the Python packages that PyTorch comes with.
find_library() {
  local name=$1 dir
  shift
  ldconfig -p 2>/dev/null | grep -qF "$name" && return
  for dir in ${LD_LIBRARY_PATH//:/ } /usr/lib64 /usr/local/cuda/lib64 \
    $(python3 -c 'import importlib, sys
for package in sys.argv[1:]:
    try: print(*(path + "/lib" for path in importlib.import_module(package).__path__))
    except ImportError: pass' "$@" 2>/dev/null); do
    [ -e "$dir/$name" ] && export LAYERCAKE_LIBRARIES=${LAYERCAKE_LIBRARIES:+$LAYERCAKE_LIBRARIES:}$dir && return
  done
  return 1
}
find_nccl() { find_library libnccl.so.2 nvidia.nccl; }
find_cublas() { find_library libcublasLt.so.13 nvidia.cu13 || find_library libcublasLt.so.12 nvidia.cublas; }
find_sanitizer() {
  local path
  for path in "${LAYERCAKE_SANITIZER:-}" "$(command -v compute-sanitizer)" "${CUDA_HOME:-}/bin/compute-sanitizer" \
    /usr/local/cuda*/bin/compute-sanitizer /usr/local/cuda*/compute-sanitizer/compute-sanitizer \
    "${XDG_DATA_HOME:-$HOME/.local/share}"/layercake/cuda/nvidia/cu13/bin/compute-sanitizer; do
    [ -n "$path" ] && [ -x "$path" ] && printf '%s' "$path" && return
  done
  return 1
}
# SANITIZER TOOL: the ops under it, in eight shares, each of which has its time. A share that takes longer says nothing
# of the kernels, and is owed.
sanitize() {
  local part="compute-sanitizer $2" shares=8 i code unfinished=0
  wanted "$part" || return
  for ((i = 0; i < shares; ++i)); do
    GTEST_TOTAL_SHARDS=$shares GTEST_SHARD_INDEX=$i LAYERCAKE_UNDER="$1 --tool $2 --error-exitcode 9" \
      timeout 900 "$here/launch" card_ops_test >"$scratch/log" 2>&1
    code=$?
    case $code in
      0) ;;
      124) unfinished=$((unfinished + 1)) ;;
      *)
        show "$part, the last of it" <(tail -n 40 "$scratch/log")
        say FAIL "$part" "share $i of $shares ended with $code: $(grep -v '^ *$' "$scratch/log" | tail -n 1)"
        return ;;
    esac
  done
  if [ $unfinished -eq 0 ]; then
    say PASS "$part" "it finds nothing in the ops' tests"
  else
    say OWED "$part" "$unfinished of $shares shares of the ops' tests were not done in 900 s; nothing found in the others"
  fi
}
sanitizer() {
  local path tool
  if path=$(find_sanitizer); then
    for tool in memcheck racecheck initcheck synccheck; do sanitize "$path" $tool; done
  else
    say OWED "compute-sanitizer" "it is neither in PATH nor in /usr/local/cuda (deploy/install-cuda.sh --sanitizer)"
  fi
}

gpu_parts() {
  show "layercake-worker --list-devices" "$scratch/devices"
  if [ "$hardware" = "no GPU" ]; then
    say OWED "devices" "there is no nvidia-smi to compare with"
  elif uuid=$(grep -o 'GPU-[0-9a-f-]*' <<<"$line" | head -n 1) && grep -q "$uuid" <<<"$smi"; then
    say PASS "devices" "cuda:0 is $uuid, as nvidia-smi says"
  else
    say FAIL "devices" "cuda:0 has a UUID that nvidia-smi does not know: $line"
  fi
  if find_cublas; then
    cublas=1
  else
    say OWED "cuBLASLt" "there is no libcublasLt.so.13 or .12 here, so its tests are left out of the ops and goldens"
  fi
  check "ops" card_ops_test
  check "goldens" card_goldens_test
  served "served goldens, one worker" 1
  served "served goldens, two workers, gRPC" 2 --transport grpc
  if find_nccl; then
    served "served goldens, two workers, NCCL" 2 --transport nccl
  else
    say OWED "served goldens, two workers, NCCL" "there is no libnccl.so.2 here"
  fi
  sanitizer
  check "kernels' speed" card_bench && cp "$scratch/log" "$scratch/kernels" && show "Kernels" "$scratch/kernels"
  if ! wanted "PyTorch's speed"; then
    :
  elif ! python3 -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
    say OWED "PyTorch's speed" "there is no PyTorch with CUDA here"
  elif timeout 600 python3 "$here/compare_torch.py" >"$scratch/log" 2>&1; then
    say PASS "PyTorch's speed" "see below"
    show "PyTorch" "$scratch/log"
  else
    say OWED "PyTorch's speed" "$(tail -n 1 "$scratch/log")"
  fi
  speed_of llama-3.2-1b
  hop llama-3.2-1b grpc
  if find_nccl; then
    hop llama-3.2-1b nccl
  else
    say OWED "llama-3.2-1b: a hop over nccl" "there is no libnccl.so.2 here"
  fi
  rm -rf "$scratch/llama-3.2-1b"
  speed_of qwen2.5-1.5b
  rm -rf "$scratch/qwen2.5-1.5b"
  free_kib=$(df --output=avail "$scratch" | tail -n 1)
  if [ "$free_kib" -lt $((20 << 20)) ]; then
    say OWED "llama-3-8b" "$scratch has $((free_kib >> 20)) GiB free, and its weights take 16"
  elif ! grep -Eq ' (2[4-9]|[3-9][0-9]|[0-9]{3,})(\.[0-9])? GiB' <<<"$line"; then
    say OWED "llama-3-8b" "the card has less than 24 GiB"
  else
    speed_of llama-3-8b
  fi
}

# What of it makes sense on a CPU. Sanitizers are rehearsed where one is named.
rehearse() {
  served "served goldens, two workers, gRPC" 2 --transport grpc
  [ -z "${LAYERCAKE_SANITIZER:-}" ] || sanitizer
  speed_of tiny-bench
  hop tiny-bench grpc
}

if [ -n "$rehearsal" ]; then
  rehearse
elif [ -n "$gpu" ]; then
  gpu_parts
else
  for part in "devices" "ops" "goldens" "served goldens" "compute-sanitizer" "kernels' speed" "speed of models"; do
    say OWED "$part" "there is no CUDA device to run it on"
  done
fi

verdict="$num_failed failed, $num_owed owed"
[ -n "$gpu" ] || verdict="$verdict; $missing"
echo "$verdict"
if [ -n "$out" ]; then
  {
    printf '\n## %s, %s\n\n%s; %s; glibc %s; %s. %s.\n\n' "$(date -u +%Y-%m-%d)" "$hardware" \
      "$(launch layercake --version 2>&1 | head -n 1)" "$(uname -sr)" "$(getconf GNU_LIBC_VERSION 2>/dev/null | cut -d' ' -f2)" \
      "$(nproc) cores" "$verdict"
    printf '| part | result | |\n|---|---|---|\n'
    printf '%s\n' "${rows[@]}"
    [ ${#outputs[@]} -eq 0 ] || printf '%s\n' "${outputs[@]}"
  } >>"$out"
fi
[ $num_failed -eq 0 ] || exit 1
[ -n "$gpu" ] || exit 77
