# shellcheck shell=bash
# Checks of a running system: health:full, ws:test, derp:status. A line each, non-zero on failure.

# read_target COMMAND ARGUMENTS...: sets target (the Worker's URL), target_key, and remote when the
# target is not the local instance.
read_target() {
  local command=$1 url=''
  shift
  while [ $# -gt 0 ]; do
    case $1 in
      --url) url=${2:-} && shift $(($# > 1 ? 2 : 1)) ;;
      --url=*) url=${1#--url=} && shift ;;
      *) die "$command: '$1' is not known." "Usage: ./opr $command [--url https://api.example.com]" ;;
    esac
  done
  load_ports
  remote=''
  target=$edge_url
  target_key=$(secret HEADSCALE_API_KEY || true)
  if [ -n "$url" ]; then
    [[ $url =~ ^https?://[^/]+/*$ ]] ||
      die "$command: '$url' is not an address." "Give it as https://HOST"
    remote=1
    probe_address=
    target=${url%%/}
    target_key=${HEADSCALE_API_KEY:-}
    [ -n "$target_key" ] ||
      die "$command --url needs the operator's key." "HEADSCALE_API_KEY=tskey-api-... ./opr $command --url $url"
  fi
}

# ask URL [CURL ARGUMENTS]: sets answer_code, answer_headers (lower-case names), answer_body and
# answer_ms.
ask() {
  local url=$1 folder begun
  shift
  folder=$(mktemp -d)
  touch "$folder/headers" "$folder/body"
  begun=$(now_ms)
  answer_code=$(probe -m 10 -D "$folder/headers" -o "$folder/body" -w '%{http_code}' "$@" -- \
    "$url") || answer_code=000
  answer_ms=$(($(now_ms) - begun))
  answer_headers=$(tr -d '\r' <"$folder/headers" 2>/dev/null | awk -F: '
    NR > 1 && NF > 1 { name = tolower($1); sub(/^[^:]*: */, ""); print name ": " $0 }')
  answer_body=$(tr -d '\000' <"$folder/body" 2>/dev/null | head -c 16384)
  rm -rf "$folder"
}

ask_with_key() { ask "$1" -K <(bearer "$target_key"); }

answer_header() { sed -n "s/^$1: //p" <<<"$answer_headers" | head -n 1; }

check_ok() { printf 'ok    %-10s %s\n' "$1" "$2"; }
check_fail() {
  printf 'FAIL  %-10s %s\n' "$1" "$2"
  checks_failed=$((checks_failed + 1))
}

# answer_words: what came instead of the expected answer.
answer_words() {
  if [ "$answer_code" = 000 ]; then printf 'nobody answers'; else
    printf 'answered %s %s' "$answer_code" "$(tr -s '\n ' ' ' <<<"$answer_body" | cut -c1-160)"
  fi
}

check_origin() {
  ask "$origin_url/health"
  if [ "$answer_code" = 200 ]; then
    check_ok origin "$origin_url, $answer_ms ms"
  elif [ "$answer_code" = 000 ]; then
    check_fail origin "nobody answers at $origin_url (./opr start; ./opr logs origin)"
  else
    check_fail origin "$origin_url/health $(answer_words)"
  fi
}

# Locally the origin is asked itself, else through the Worker.
check_database() {
  local via=$origin_url
  [ -z "$remote" ] || via=$target
  ask_with_key "$via/api/v1/health"
  if [ "$answer_code" = 200 ] &&
    [ "$(jq -r .databaseConnectivity <<<"$answer_body" 2>/dev/null)" = true ]; then
    check_ok database "answers, $answer_ms ms"
  else
    check_fail database "$via/api/v1/health $(answer_words)"
  fi
}

check_edge() {
  ask "$target/health"
  if [ "$answer_code" != 200 ]; then
    check_fail edge "$target/health $(answer_words)"
    return
  fi
  local name absent=''
  for name in strict-transport-security content-security-policy x-frame-options \
    x-content-type-options referrer-policy permissions-policy cross-origin-opener-policy \
    cross-origin-embedder-policy cross-origin-resource-policy cache-control; do
    [ -n "$(answer_header "$name")" ] || absent+=" $name"
  done
  if [ -n "$absent" ]; then
    check_fail edge "$target/health lacks the headers:$absent"
  else
    check_ok edge "$target, $answer_ms ms, security headers complete"
  fi
}

# The Worker's own word on its limiter's authority.
check_limiter() {
  ask_with_key "$target/edge/status"
  case $(jq -r .limiter.ok <<<"$answer_body" 2>/dev/null) in
    true) check_ok limiter "the limiter's authority answers, $(jq -r .limiter.ms <<<"$answer_body") ms" ;;
    false) check_fail limiter "the limiter's authority does not answer; each isolate limits alone" ;;
    *) check_fail limiter "$target/edge/status $(answer_words)" ;;
  esac
}

# Without a key refused, with the operator's allowed. Failed authentications have a limit of their
# own, so this one comes from an address of its own; from afar there is none, so it is left out.
check_keys() {
  local none=401
  if [ -z "$remote" ]; then
    probe_address=127.0.0.3 ask "$target/api/v1/user"
    none=$answer_code
  fi
  ask_with_key "$target/api/v1/user"
  if [[ $none =~ ^(401|429)$ ]] && [ "$answer_code" = 200 ]; then
    check_ok keys "the operator's key opens the API$([ -n "$remote" ] || echo ", no key does not")"
  else
    check_fail keys "without a key $([ "$none" = 000 ] && echo "nobody answers" || echo "it answered $none"), with the operator's $([ "$answer_code" = 000 ] || echo "it ")$(answer_words)"
  fi
}

cmd_health_full() {
  read_target health:full "$@"
  checks_failed=0
  [ -n "$remote" ] || check_origin
  check_database
  check_edge
  check_limiter
  check_keys
  check_signature
  [ "$checks_failed" -eq 0 ]
}

cmd_ws_test() {
  read_target ws:test "$@"
  install_node_modules
  ask "$target/health"
  if [ "$answer_code" = 000 ]; then
    say "FAIL  websocket  ${target/#http/ws}/ws: nobody answers$([ -n "$remote" ] || echo " (./opr start; ./opr logs edge)")"
    return 1
  fi
  HEADSCALE_API_KEY=$target_key "$node" scripts/ws_test.mjs "$target"
}

# The embedded relay, by speaking DERP and STUN with it; what it counted comes from the metrics port.
cmd_derp_status() {
  load_ports
  [ "$(http_code "$origin_url/health")" = 200 ] || die "nobody answers at $origin_url." "./opr start"
  "$node" scripts/derp_status.mjs "$origin_url" \
    "$metrics_url"
}

# What the origin thought of the signature of a request that came through the Worker.
check_signature() {
  ask_with_key "$target/api/v1/edge"
  local verdict
  verdict=$(jq -r .signature <<<"$answer_body" 2>/dev/null)
  case $verdict in
    valid) check_ok signature "the origin accepts the Worker's signature" ;;
    missing) check_fail signature "the Worker's request reached the origin unsigned" ;;
    forged) check_fail signature "the origin refuses the Worker's signature: EDGE_TOKEN_KEY differs" ;;
    outside-window)
      check_fail signature "the origin refuses the Worker's signature: the clocks differ" ;;
    *) check_fail signature "$target/api/v1/edge $(answer_words)" ;;
  esac
}
