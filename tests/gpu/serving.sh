# What clusters of workers, and single processes, do with checkpoints, and how fast. Part of run.sh, whose variables and
# say, show, wanted, check and launch it uses.

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
# NUM_WORKERS PROFILE FLAGS...: a coordinator and workers on the one device. Sets `address`. (By `launch` the function, pids
# would be those of shells, whose end does not end the programs.)
start_cluster() {
  local count=$1 profile=$2 i
  shift 2
  rm -f "$scratch/port"
  "$here/launch" layercake-coordinator --listen 127.0.0.1:0 --port-file "$scratch/port" >"$scratch/coordinator" 2>&1 &
  pids+=($!)
  wait_for 30 test -s "$scratch/port" || return 1
  address=127.0.0.1:$(cat "$scratch/port")
  [ -n "$rehearsal" ] || [ "$count" -eq 1 ] || set -- --share-card "$@"
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
no_cluster() {  # PART
  tail -n 20 "$scratch"/coordinator "$scratch"/worker-*
  if [ -s "$scratch/plan" ]; then
    say FAIL "$1" "$(tail -n 1 "$scratch/plan")"
  else
    say FAIL "$1" "no cluster: $(tail -n 1 "$scratch/worker-0" 2>/dev/null)"
  fi
}
served() {  # PART NUM_WORKERS FLAGS...
  local part=$1 count=$2
  shift 2
  wanted "$part" || return
  rm -f "$scratch/plan"
  if start_cluster "$count" 1e12,1e13 --memory 2GiB "$@"; then
    if check "$part" served_goldens "$LAYERCAKE_GOLDEN_MODELS" --coordinator "$address" --stages "$count"; then
      show "$part" "$scratch/log"
    fi
  else
    no_cluster "$part"
  fi
  stop_cluster
}

# GEOMETRY PART: makes that model, or says of the part why not. Sets `model`.
checkpoint() {
  model=$scratch/$1
  [ ! -e "$model/model.safetensors" ] || return 0
  python3 "$here/random_weights.py" --config "$1" "$model" >"$scratch/log" 2>&1 && return
  say OWED "$2" "no weights made: $(tail -n 1 "$scratch/log")"
  rm -rf "$model"
  return 1
}
calculate() { LC_ALL=C awk "BEGIN { printf \"$1\", $2 }"; }  # FORMAT EXPRESSION
field() {  # NAME: of the first object in the JSON of stdin that has it
  sed -n "s/.*\"$1\": \"\{0,1\}\([0-9][0-9.e+-]*\).*/\1/p" | head -n 1
}
load_model() {  # FLAGS...: serves `model`; the plan in words, and what became of it as JSON
  timeout 900 "$here/launch" layercake --address "$address" load "$model" "$@" >"$scratch/plan" 2>&1 &&
    launch layercake --address "$address" status -o json >"$scratch/status"
}
bench() { timeout 900 "$here/launch" layercake --address "$address" bench "$@"; }
# Bytes of the device; of a rehearsal the first worker's.
bytes_taken() {
  if [ -n "$rehearsal" ]; then
    awk '/^VmRSS/ {print $2 * 1024}' "/proc/${pids[1]}/status"
  else
    nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits -i "${uuid:-0}" | awk '{print $1 * 1048576}'
  fi
}
# PART BYTES_BEFORE: the plan in force against what the load took.
memory() {
  local predicted=0 taken name words
  for name in weightBytes kvBytes workspaceBytes; do
    predicted=$((predicted + $(field $name <"$scratch/status")))
  done
  taken=$(calculate %d "$(bytes_taken) - $2")
  words="$(calculate %.3f "$predicted / 2^30") GiB planned, $(calculate %.3f "$taken / 2^30") GiB taken"
  if [ "$(calculate %d "sqrt(($taken / $predicted - 1) ^ 2) <= 0.03")" -eq 1 ]; then
    say PASS "$1" "$words"
  else
    say FAIL "$1" "$words: more than 3% apart"
  fi
}
weight_flags() { [ "$1" = bf16 ] || echo "--weights $1"; }  # of `load` and decoder_bench alike

serving() {  # GEOMETRY WEIGHTS
  local part="$1: serving, $2" before code=0 command n
  wanted "$part" && checkpoint "$1" "$part" || return
  : >"$scratch/bench"
  rm -f "$scratch/plan"
  # shellcheck disable=SC2046
  if start_cluster 1 measure && before=$(bytes_taken) && load_model --context 4096 --batch 64 $(weight_flags "$2"); then
    memory "$1: memory, $2" "$before"
    for n in "${concurrencies[@]}" 0; do
      command=(--concurrency "$n" --requests $((n * 4)) "${lengths[@]}")
      [ "$n" -ne 0 ] || command=(--concurrency 4 --requests 8 "${prompts[@]}" --output-tokens 1)
      printf '\n$ layercake bench %s\n' "${command[*]}" >>"$scratch/bench"
      bench "${command[@]}" >>"$scratch/bench" 2>&1 || { code=$? && break; }
    done
    show "Plan of $1 in $2" "$scratch/plan"
    show "Serving $1 in $2, random weights" "$scratch/bench"
    if [ $code -eq 0 ]; then
      say PASS "$part" "see below"
    else
      say FAIL "$part" "bench ${command[*]:0:2} ended with $code: $(tail -n 1 "$scratch/bench")"
    fi
  else
    no_cluster "$part"
  fi
  stop_cluster
}
has_benchmarks() {  # PART
  [ -x "$here/bin/decoder_bench" ] && return
  say OWED "$1" "the bundle was made without benchmarks (-DLAYERCAKE_BENCHMARKS=ON)"
  return 1
}
forward_pass() {  # GEOMETRY WEIGHTS FLAGS...
  local part="$1: forward pass, $2${3:+, $3 $4}" form=$2
  has_benchmarks "$part" && wanted "$part" && checkpoint "$1" "$part" || return
  shift 2
  # shellcheck disable=SC2046
  check "$part" decoder_bench "$model" "${in_process[@]}" --sequences 64 $(weight_flags "$form") "$@" &&
    show "$part" "$scratch/log"
}
# GEOMETRY: how fast weights come to the device, beside the slower of the two ways there.
loading() {
  local part="$1: loading" rate disk bus limit words
  has_benchmarks "$part" && wanted "$part" && checkpoint "$1" "$part" || return
  disk=$(LC_ALL=C dd if="$model/model.safetensors" of=/dev/null bs=16M 2>&1 |
    sed -n 's/^\([0-9]*\) bytes .*, \([0-9.e+-]*\) s, .*/\1 \2/p' | awk '{print $1 / $2 / 1e9}')
  bus=$(sed -n 's/^page-locked memory to the card .* \([0-9.]*\) GB\/s$/\1/p' "$scratch/kernels" 2>/dev/null)
  if ! launch decoder_bench "$model" "${in_process[@]}" --load-only >"$scratch/log" 2>&1; then
    say FAIL "$part" "$(tail -n 1 "$scratch/log")"
    return
  fi
  rate=$(sed -n 's/^load .* s, \([0-9.]*\) GB\/s.*/\1/p' "$scratch/log")
  limit=$(printf '%s\n' "$disk" ${bus:+"$bus"} | sort -g | head -n 1)
  words="$rate GB/s of weights; the disk's cache gives $(calculate %.2f "$disk"), copies to the card ${bus:-(not measured)}"
  say PASS "$part" "$words: $(calculate %.0f "100 * $rate / $limit")% of the lesser"
}
# NUM_WORKERS FLAGS...: milliseconds from token to token of one sequence, in `took`, with as many stages.
token_time() {
  local count=$1
  shift
  took=
  rm -f "$scratch/plan"
  if start_cluster "$count" 1e12,1e13 --memory "$hop_memory" "$@" &&
    load_model --context 1024 --batch 4 --policy balanced --replicas 1 &&
    bench --concurrency 1 --requests 8 "${lengths[@]}" -o json >"$scratch/bench"; then
    took=$(sed -n '/"betweenTokensMs"/,/}/p' "$scratch/bench" | field p50)
    link=$(sed -n 's/.*"link": "\(..*\)",.*/\1/p' "$scratch/status" | head -n 1)
  fi
  [ -n "$took" ] || no_cluster "$part"
  stop_cluster
  [ -n "$took" ]
}
hop() {  # GEOMETRY TRANSPORT: what a second stage on the same device costs a token
  local part="$1: a hop over $2" took link alone
  wanted "$part" && checkpoint "$1" "$part" && token_time 1 || return
  alone=$took
  token_time 2 --transport "$2" || return
  if [ "$link" = "$2" ]; then
    say PASS "$part" "a token takes $(calculate %.3f "$alone") ms in one stage and $(calculate %.3f "$took") ms in two:\
 $(calculate %.3f "$took - $alone") ms more"
  else
    say FAIL "$part" "the two stages were joined by ${link:-nothing}"
  fi
}
transformers() {  # GEOMETRY
  local part="$1: transformers" where=cuda
  wanted "$part" && checkpoint "$1" "$part" || return
  [ -z "$rehearsal" ] || where=cpu
  if ! python3 -c "import torch, transformers; assert '$where' == 'cpu' or torch.cuda.is_available()" 2>/dev/null; then
    say OWED "$part" "there is no transformers with PyTorch for $where here"
  elif timeout 900 python3 "$here/compare_transformers.py" "$model" --device $where >"$scratch/log" 2>"$scratch/errors"; then
    say PASS "$part" "see below"
    show "$1 in transformers" "$scratch/log"
  else
    say OWED "$part" "it ended with: $(tail -n 1 "$scratch/errors")"
  fi
}
speed_of() {  # GEOMETRY
  local form
  for form in bf16 int8 int4; do
    serving "$1" $form
    forward_pass "$1" $form
  done
  [ -n "$rehearsal" ] || forward_pass "$1" bf16 --cuda-graphs off
  [ -z "${cublas:-}" ] || forward_pass "$1" bf16 --dense-products cublaslt
  loading "$1"
  transformers "$1"
}
