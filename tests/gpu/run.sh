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
concurrencies=(1 8 64) lengths=(--prompt-tokens 512 --output-tokens 128)
while [ $# -gt 0 ]; do
  case $1 in
    --out) out=${2:?--out needs a file}; shift 2 ;;
    --rehearse)
      rehearsal=1 device=cpu in_process=(--threads 2) concurrencies=(1 2) lengths=(--prompt-tokens 16 --output-tokens 4)
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

# --- parts that need a GPU ---
wait_for() {  # SECONDS COMMAND...
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.1
  done
}
workers_joined() {
  [ "$(launch layercake --address "$address" status -o json 2>/dev/null | grep -c '"lastHeartbeatAgo"')" -ge "$1" ]
}
# NUM_WORKERS PROFILE FLAGS...: a coordinator and workers on the first card. Sets `address`. (By `launch` the
# function, pids would be those of shells, whose end does not end the programs.)
start_cluster() {
  local count=$1 profile=$2 i
  shift 2
  rm -f "$scratch/port"
  "$here/launch" layercake-coordinator --listen 127.0.0.1:0 --port-file "$scratch/port" >"$scratch/coordinator" 2>&1 &
  pids+=($!)
  wait_for 30 test -s "$scratch/port" || return 1
  address=127.0.0.1:$(cat "$scratch/port")
  for ((i = 0; i < count; ++i)); do
    NCCL_HOSTID=worker-$i "$here/launch" layercake-worker --coordinator "$address" --name "w$i" --device "$device" \
      --profile "$profile" "$@" >"$scratch/worker-$i" 2>&1 &
    pids+=($!)
  done
  wait_for 120 workers_joined "$count"
}
all_ended() { ! kill -0 "${pids[@]}" 2>/dev/null; }
stop_cluster() {
  kill "${pids[@]}" 2>/dev/null
  wait_for 15 all_ended || kill -9 "${pids[@]}" 2>/dev/null
  wait "${pids[@]}" 2>/dev/null
  pids=()
}
served() {  # PART NUM_WORKERS FLAGS...
  local part=$1 count=$2
  shift 2
  wanted "$part" || return
  if start_cluster "$count" 1e12,1e13 "$@"; then
    if check "$part" served_goldens "$LAYERCAKE_GOLDEN_MODELS" --coordinator "$address" --stages "$count"; then
      show "$part" "$scratch/log"
    fi
  else
    tail -n 20 "$scratch"/coordinator "$scratch"/worker-*
    say FAIL "$part" "no cluster: $(tail -qn 1 "$scratch"/worker-* | head -n 1)"
  fi
  stop_cluster
}
served_bench() {  # GEOMETRY
  local model=$scratch/$1 n code=0 command
  wanted "serving $1" || return
  if ! python3 "$here/random_weights.py" --config "$1" "$model" >"$scratch/log" 2>&1; then
    say OWED "serving $1" "no weights made: $(tail -n 1 "$scratch/log")"
    rm -rf "$model"
    return
  fi
  : >"$scratch/bench"
  if start_cluster 1 measure &&
    timeout 900 "$here/launch" layercake --address "$address" load "$model" --context 4096 --batch 64 >"$scratch/plan" 2>&1; then
    for n in "${concurrencies[@]}"; do
      command=(bench --concurrency "$n" --requests $((n * 4)) "${lengths[@]}")
      printf '\n$ layercake %s\n' "${command[*]}" >>"$scratch/bench"
      timeout 900 "$here/launch" layercake --address "$address" "${command[@]}" >>"$scratch/bench" 2>&1 ||
        { code=$? && break; }
    done
    show "Plan of $1 in bf16" "$scratch/plan"
    show "Serving $1 in bf16, random weights" "$scratch/bench"
    if [ $code -eq 0 ]; then
      say PASS "serving $1" "see below"
    else
      say FAIL "serving $1" "bench at concurrency $n ended with $code: $(tail -n 1 "$scratch/bench")"
    fi
  else
    say FAIL "serving $1" "$(cat "$scratch/plan" "$scratch/worker-0" 2>/dev/null | tail -n 1)"
  fi
  stop_cluster
  if [ -x "$here/bin/decoder_bench" ]; then
    if check "forward pass of $1" decoder_bench "$model" "${in_process[@]}"; then
      show "Forward pass of $1, one process" "$scratch/log"
    fi
    if [ -z "$rehearsal" ] && check "forward pass of $1, no graphs" decoder_bench "$model" --device 0 --cuda-graphs off; then
      show "Forward pass of $1, one process, kernels launched one by one" "$scratch/log"
    fi
  fi
  rm -rf "$model"
}
find_nccl() {
  ldconfig -p 2>/dev/null | grep -q 'libnccl\.so\.2' && return
  local dir
  for dir in ${LD_LIBRARY_PATH//:/ } /usr/lib64 /usr/local/cuda/lib64 \
    $(python3 -c 'import nvidia.nccl as n; print(list(n.__path__)[0] + "/lib")' 2>/dev/null); do
    [ -e "$dir/libnccl.so.2" ] && export LAYERCAKE_NCCL_DIR=$dir && return
  done
  return 1
}
find_sanitizer() {
  local path
  for path in "$(command -v compute-sanitizer)" /usr/local/cuda*/bin/compute-sanitizer \
    /usr/local/cuda*/compute-sanitizer/compute-sanitizer; do
    [ -n "$path" ] && [ -x "$path" ] && printf '%s' "$path" && return
  done
  return 1
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
  check "ops" card_ops_test
  check "goldens" card_goldens_test
  served "served goldens, one worker" 1 --memory 2GiB
  served "served goldens, two workers, gRPC" 2 --memory 2GiB --share-card --transport grpc
  if find_nccl; then
    served "served goldens, two workers, NCCL" 2 --memory 2GiB --share-card --transport nccl
  else
    say OWED "served goldens, two workers, NCCL" "there is no libnccl.so.2 here"
  fi
  if sanitizer=$(find_sanitizer); then
    for tool in memcheck racecheck initcheck synccheck; do
      LAYERCAKE_UNDER="$sanitizer --tool $tool --error-exitcode 9" \
        check "compute-sanitizer $tool" card_ops_test
    done
  else
    say OWED "compute-sanitizer" "it is neither in PATH nor in /usr/local/cuda"
  fi
  check "kernels' speed" card_bench && show "Kernels" "$scratch/log"
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
  served_bench llama-3.2-1b
  free_kib=$(df --output=avail "$scratch" | tail -n 1)
  if [ "$free_kib" -lt $((20 << 20)) ]; then
    say OWED "serving llama-3-8b" "$scratch has $((free_kib >> 20)) GiB free, and its weights take 16"
  elif ! grep -Eq ' (2[4-9]|[3-9][0-9]|[0-9]{3,})(\.[0-9])? GiB' <<<"$line"; then
    say OWED "serving llama-3-8b" "the card has less than 24 GiB"
  else
    served_bench llama-3-8b
  fi
}

if [ -n "$rehearsal" ]; then
  served_bench tiny-bench
elif [ -n "$gpu" ]; then
  gpu_parts
else
  for part in "devices" "ops" "goldens" "served goldens" "compute-sanitizer" "kernels' speed" "serving"; do
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
