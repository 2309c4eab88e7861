# shellcheck shell=bash
# Sourced after scripts/progress.sh: counts what passed and failed, and says so in the last line, however the run ends.

passed=0
failed=0
finished=
failures=()
began=$SECONDS
last_line() {
  # However this ends, the last line says what happened; an early end is a failure.
  [ -n "$finished" ] || failed=$((failed + 1))
  if [ ${#failures[@]} -gt 0 ]; then
    printf 'failed: %s\n' "${failures[@]}"
  fi
  echo "$passed passed, $failed failed"
  [ "$failed" = 0 ] || exit 1
}
trap last_line EXIT

# step NAME COMMAND...: counts as one test.
step() {
  local name=$1
  shift
  if with_progress "$name" "$@"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    failures+=("$name")
  fi
}

# suite NAME COMMAND...: counts what it prints: cargo's "test result:" lines and lines of the form "N passed, N failed".
suite() {
  local name=$1 code=0 good bad
  shift
  KEEP_LOG=1 with_progress "$name" "$@" || code=$?
  read -r good bad < <(awk '
    /^test result: / { for (i = 2; i <= NF; i++) { if ($i == "passed;") p += $(i - 1); if ($i == "failed;") f += $(i - 1) } }
    /^[0-9]+ passed, [0-9]+ failed$/ { p += $1; f += $3 }
    END { print p + 0, f + 0 }' "$PROGRESS_LOG")
  if [ "$bad" -gt 0 ]; then
    echo "  which:"
    grep -E '^(test .* FAILED|FAIL(ED)?[: ].*|not ok .*)$' "$PROGRESS_LOG" | sort -u | head -n 60 | sed 's/^/    /' || true
    # What a failed test of cargo's printed is far from the end of the log.
    awk '/^---- .* stdout ----$/ { shown = 1 } /^failures:$/ { shown = 0 } shown' "$PROGRESS_LOG" | head -n 200 | cut -c1-600 | sed 's/^/    /' || true
  fi
  # A crash or a build error fails no test by name; no test at all is no success either.
  if [ "$bad" = 0 ] && { [ $code != 0 ] || [ "$good" = 0 ]; }; then
    bad=1
  fi
  rm -f "$PROGRESS_LOG"
  passed=$((passed + good))
  failed=$((failed + bad))
  [ "$bad" = 0 ] || failures+=("$name ($bad)")
  echo "  $name: $good of $((good + bad)) tests passed"
}
