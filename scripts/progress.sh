# shellcheck shell=bash
# Sourced: runs a long command behind one line of progress, and shows the end of its output when it fails.

# How many lines of a failed command's output are shown.
PROGRESS_TAIL_LINES=40
# Seconds between signs of life where there is no terminal.
PROGRESS_BEAT_S=30

# with_progress LABEL COMMAND...: the command's output goes to a file ($PROGRESS_LOG afterwards, when KEEP_LOG is set).
with_progress() {
  local label=$1 log pid began=$SECONDS beat=$SECONDS code=0 line width
  shift
  log=$(mktemp "${TMPDIR:-/tmp}/countersign.XXXXXX")
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  # A command in the background ignores Ctrl-C: pass it on, and leave nothing behind.
  # shellcheck disable=SC2064
  trap "kill -TERM $pid 2>/dev/null; wait $pid 2>/dev/null; rm -f '$log'; exit 130" INT TERM
  if [ -t 1 ]; then
    width=$(tput cols 2>/dev/null || echo 80)
    while kill -0 "$pid" 2>/dev/null; do
      line=$(tail -c 400 "$log" | tr '\r' '\n' | grep -v '^ *$' | tail -n 1 | tr -cd '[:print:]' || true)
      line="  $label: $((SECONDS - began)) s  ${line#"${line%%[! ]*}"}"
      printf '\r\033[K%s' "${line:0:width-1}"
      sleep 0.5
    done
    printf '\r\033[K'
  else
    echo "  $label ..."
    while kill -0 "$pid" 2>/dev/null; do
      if [ $((SECONDS - beat)) -ge $PROGRESS_BEAT_S ]; then
        beat=$SECONDS
        line=$(tail -c 400 "$log" | tr '\r' '\n' | grep -v '^ *$' | tail -n 1 | tr -cd '[:print:]' || true)
        echo "  $label: $((SECONDS - began)) s  ${line#"${line%%[! ]*}"}"
      fi
      sleep 0.2
    done
  fi
  wait "$pid" || code=$?
  trap - INT TERM
  if [ $code = 0 ]; then
    echo "  $label: done in $((SECONDS - began)) s"
  else
    echo "  $label: failed after $((SECONDS - began)) s (exit $code). The end of its output:"
    tail -n "$PROGRESS_TAIL_LINES" "$log" | sed 's/^/    /'
  fi
  if [ -n "${KEEP_LOG:-}" ]; then
    # shellcheck disable=SC2034 # for the caller
    PROGRESS_LOG=$log
  else
    rm -f "$log"
  fi
  return $code
}
