# shellcheck shell=bash
# `./opr test`: every runner, one count.

cmd_test() {
  local begun parts=() names=() word
  begun=$(now_ms)
  for word in "$@"; do
    case $word in
      unit | edge | e2e) parts+=("$word") ;;
      *) names+=("$word") ;;
    esac
  done
  if [ ${#parts[@]} -eq 0 ] && [ ${#names[@]} -eq 0 ]; then parts=(unit edge e2e); fi

  install_all
  [ -d "$root/../shared" ] ||
    say "..    ../shared is not there: the cases that read it are skipped and named below"
  tally_args=()
  results=$(mktemp -d)
  # shellcheck disable=SC2064  # the folder of now
  trap "rm -rf '$results'" EXIT

  for word in "${parts[@]}"; do
    case $word in
      unit) test_unit ;;
      edge) test_node edge tests/edge ;;
      e2e) test_node e2e tests/e2e ;;
    esac
  done
  for word in "${names[@]}"; do test_named "$word"; done

  say ""
  say "tests took $(since_ms "$begun")"
  python3 scripts/opr/tally.py "${tally_args[@]}"
}

# test_unit [NAME PATTERN]: ctest in the dev preset.
test_unit() {
  local code=0 log=build/dev/Testing/Temporary/LastTest.log
  build_tests
  rm -f "$log"
  say "..    unit, arch and fuzz tests"
  ctest --test-dir build/dev -j "$jobs" --output-on-failure --timeout 300 --no-tests=error \
    --output-junit "$results/ctest.xml" ${1:+-R "$1"} </dev/null || code=$?
  if [ -f "$log" ]; then
    cp "$log" "$results/ctest.log"
    tally_args+=(--ctest "$results/ctest.log" "$results/ctest.xml")
  fi
  [ "$code" -eq 0 ] || [ "$code" -eq 8 ] || tally_args+=(--lost "ctest (exit code $code)")
}

# test_node NAME FOLDER [FILE...]: the test files of a folder by node:test. What they need is built
# before them.
test_node() {
  local name=$1 folder=$2 files code=0
  shift 2
  files=("$@")
  if [ ${#files[@]} -eq 0 ]; then
    mapfile -t files < <(find "$folder" -name '*_test.mjs' -o -name '*.test.mjs' | sort)
  fi
  [ ${#files[@]} -gt 0 ] || die "there is no test in $folder."
  # The edge's tests bring origins of their own.
  [ "$name" = edge ] || build_origin
  build_edge
  if printf '%s\n' "${files[@]}" | grep -q '/clients/\|/protocol_test'; then
    build_preset dev "the protocol server" protocol_server
    # Without them their tests are skipped, which must not look like success.
    build_clients || tally_args+=(--lost "Tailscale's clients (they do not build)")
    install_browser || tally_args+=(--lost "Chromium (it cannot be installed)")
  fi
  say "..    $name tests"
  local cases=$results/$name-$RANDOM.cases
  # One file after the other: they start servers, and some measure time.
  WRANGLER_SEND_METRICS=false CLOUDFLARE_CF_FETCH_ENABLED=false WRANGLER_HIDE_BANNER=true \
    WRANGLER_LOG_PATH=build/edge/wrangler-logs PATH=$(dirname "$node"):$PATH \
    "$node" --test --test-concurrency=1 --test-timeout=300000 --test-force-exit \
    --test-reporter=spec --test-reporter-destination=stdout \
    --test-reporter="$root/scripts/opr/case_reporter.mjs" --test-reporter-destination="$cases" \
    "${files[@]}" </dev/null || code=$?
  [ -f "$cases" ] && tally_args+=(--cases "$cases")
  if [ "$code" -ne 0 ] && ! grep -q '^failed' "$cases" 2>/dev/null; then
    tally_args+=(--lost "$name tests (exit code $code)")
  fi
}

# test_named NAME: the node:test files whose path holds it, else the ctest programs.
test_named() {
  local files
  mapfile -t files < <(find tests/edge tests/e2e \( -path "*$1*_test.mjs" -o -path "*$1*.test.mjs" \) |
    sort)
  if [ ${#files[@]} -gt 0 ]; then test_node "$1" tests "${files[@]}"; else test_unit "$1"; fi
}
