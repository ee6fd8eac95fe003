#!/usr/bin/env bash
# bundle_test.sh GPU_BUNDLE_CMAKE CPACK: packs the bundle, unpacks it elsewhere, and runs it as on a
# machine without a GPU, then what of it a CPU can rehearse, and that with a benchmark that fails. Exit
# code 77: this build has no bundle.
set -euo pipefail
config=$1 cpack=$2
if [ ! -e "$config" ]; then
  echo "SKIPPED: built without CUDA, so there is nothing to bundle"
  exit 77
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$cpack" --config "$config" -B "$scratch/made" >"$scratch/log" 2>&1 || { cat "$scratch/log"; exit 1; }
archive=$(echo "$scratch"/made/*.tar.xz)
bytes=$(stat -c %s "$archive")
echo "${archive##*/}: $bytes bytes"
[ "$bytes" -lt 60000000 ]
mkdir "$scratch/unpacked"
tar -xf "$archive" -C "$scratch/unpacked" --strip-components 1
code=0
CUDA_VISIBLE_DEVICES='' "$scratch/unpacked/run.sh" --out "$scratch/results.md" || code=$?
[ "$code" -eq 77 ]
grep -q '^## 20.*no CUDA device' <(tr '\n' ' ' <"$scratch/results.md" | sed 's/^ *//')
[ "$(grep -c '| OWED |' "$scratch/results.md")" -ge 5 ]
# The bundle's own C library, as on a host whose C library is older.
for loader in "$scratch"/unpacked/lib/glibc/ld-linux*; do
  "$loader" --library-path "$scratch/unpacked/lib/glibc:$scratch/unpacked/lib" \
    "$scratch/unpacked/bin/layercake-worker" --list-devices >/dev/null
done

# ARGUMENTS...: run.sh as a rehearsal; its exit code, and what it wrote in $scratch/rehearsal.md.
rehearse() {
  local code=0
  rm -f "$scratch/rehearsal.md"
  CUDA_VISIBLE_DEVICES='' "$scratch/unpacked/run.sh" --rehearse --out "$scratch/rehearsal.md" "$@" || code=$?
  return $code
}
says() {  # ROW
  grep -qF "| $1" "$scratch/rehearsal.md" || { echo "no row: $1" >&2 && return 1; }
}
code=0
rehearse || code=$?
[ "$code" -eq 77 ]
says 'served goldens, two workers, gRPC | PASS |'
measured=PASS
[ -x "$scratch/unpacked/bin/decoder_bench" ] || measured=OWED  # this build has no benchmarks
for form in bf16 int8 int4; do
  for part in memory serving; do says "tiny-bench: $part, $form | PASS |"; done
  says "tiny-bench: forward pass, $form | $measured |"
done
says "tiny-bench: loading | $measured |"
says 'tiny-bench: a hop over grpc | PASS | a token takes'

cat >"$scratch/without-bench" <<'EOF'
#!/bin/sh
case " $* " in *" bench "*) echo "no benchmarks today"; exit 3 ;; esac
exec "$@"
EOF
cat >"$scratch/sanitizer" <<'EOF'
#!/bin/sh
case $2.$GTEST_SHARD_INDEX.$GTEST_TOTAL_SHARDS in
  racecheck.3.8) exit 124 ;;  # as `timeout` does
  initcheck.5.8) echo "ERROR SUMMARY: 1 error"; exit 9 ;;
esac
EOF
chmod +x "$scratch/without-bench" "$scratch/sanitizer"
code=0
LAYERCAKE_UNDER=$scratch/without-bench LAYERCAKE_SANITIZER=$scratch/sanitizer \
  rehearse --only 'serving, bf16|sanitizer' || code=$?
[ "$code" -eq 1 ]
says 'tiny-bench: serving, bf16 | FAIL | bench --concurrency 1 ended with 3: no benchmarks today |'
says 'compute-sanitizer memcheck | PASS |'
says 'compute-sanitizer racecheck | OWED | 1 of 8 shares'
says 'compute-sanitizer initcheck | FAIL | share 5 of 8 ended with 9: ERROR SUMMARY: 1 error |'
if pgrep -af "^$scratch/unpacked/bin/"; then
  echo "these were left running" >&2
  exit 1
fi
