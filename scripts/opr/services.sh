# shellcheck shell=bash
# The two local processes: the origin on SQLite, and the Worker on workerd by `wrangler dev`.

# load_ports: from the environment, else as last started, else the usual ones.
load_ports() {
  local saved_origin='' saved_metrics='' saved_edge=''
  [ ! -f "$run_dir/ports" ] || read -r saved_origin saved_metrics saved_edge <"$run_dir/ports"
  origin_port=${OPR_ORIGIN_PORT:-${saved_origin:-8080}}
  metrics_port=${OPR_METRICS_PORT:-${saved_metrics:-9090}}
  edge_port=${OPR_EDGE_PORT:-${saved_edge:-8787}}
  local name value
  for name in origin metrics edge; do
    value=${name}_port
    value=${!value}
    if ! [[ $value =~ ^[0-9]{1,5}$ ]] || [ "$value" -lt 1 ] || [ "$value" -gt 65535 ]; then
      die "OPR_${name^^}_PORT is '$value'; a port is a number from 1 to 65535."
    fi
  done
  origin_url=http://127.0.0.1:$origin_port
  metrics_url=http://127.0.0.1:$metrics_port
  edge_url=http://127.0.0.1:$edge_port
}

# opr's own questions come from a loopback address of their own, so that they use up nothing of what
# the limiter grants to a person at 127.0.0.1. (Locally the Worker takes the address from the header
# that Cloudflare would set.) Empty towards a remote system.
probe_address=127.0.0.2
probe() {
  local from=()
  [ -z "$probe_address" ] ||
    from=(--interface "$probe_address" -H "CF-Connecting-IP: $probe_address")
  curl -s --noproxy 127.0.0.1 "${from[@]}" "$@"
}

# http_code URL [CURL ARGUMENTS]: the status, 000 when nobody answers.
http_code() {
  local url=$1
  shift
  probe -o /dev/null -m 5 -w '%{http_code}' "$@" -- "$url" || true
}

# bearer KEY: a curl configuration on standard output, so that no key stands in a process list.
bearer() { printf 'header = "Authorization: Bearer %s"\n' "$1"; }

# need_port NAME PORT VARIABLE
need_port() {
  port_taken "$2" || return 0
  die "port $2, which the $1 needs, is taken by $(port_owner "$2")." \
    "Stop that, or choose another port: $3=$(($2 + 1)) ./opr start"
}

prepare_state() {
  # From here on this process only writes state and starts the daemons: nobody else's business.
  umask 077
  mkdir -p "$run_dir" "$log_dir"
  local socket=$state/edgescale.sock
  [ ${#socket} -le 100 ] || die "the state folder's path is too long for a unix socket: $state" \
    "Choose a shorter one: OPR_STATE=/var/tmp/edgescale ./opr start"
  [ -n "$(secret EDGE_TOKEN_KEY)" ] || set_secret EDGE_TOKEN_KEY "$(random_hex 32)"
  if [ ! -f "$state/config.yaml" ]; then
    cat >"$state/config.yaml" <<YAML
# The local origin's configuration, written once by \`./opr start\` and yours to edit; only the
# ports below follow OPR_ORIGIN_PORT and OPR_METRICS_PORT. All keys: docs/operating.md.
server_url: http://127.0.0.1:$origin_port
listen_addr: 127.0.0.1:$origin_port
metrics_listen_addr: 127.0.0.1:$metrics_port
unix_socket: edgescale.sock
noise:
  private_key_path: noise_private.key
database:
  type: sqlite
  sqlite:
    path: edgescale.db
derp:
  server:
    enabled: true
    private_key_path: derp_server_private.key
    ipv4: 127.0.0.1
    # Any free port; clients are told which.
    stun_listen_addr: 127.0.0.1:0
  # No relays but this one.
  urls: []
log:
  level: info
  format: text
YAML
  fi
  sed -i -E \
    -e "s|^(server_url: http://127\.0\.0\.1):[0-9]+\$|\1:$origin_port|" \
    -e "s|^(listen_addr: .*):[0-9]+\$|\1:$origin_port|" \
    -e "s|^(metrics_listen_addr: .*):[0-9]+\$|\1:$metrics_port|" "$state/config.yaml"
  printf '%s %s %s\n' "$origin_port" "$metrics_port" "$edge_port" >"$run_dir/ports"
}

rotate_log() {
  local log=$log_dir/$1.log
  if [ -f "$log" ] && [ "$(stat -c %s "$log")" -gt 10485760 ]; then mv "$log" "$log.1"; fi
  mkdir -p "$log_dir"
  printf -- '--- %s: ./opr start\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" >>"$log"
}

# wait_healthy NAME URL SECONDS: until URL answers 200; fails as soon as the process is gone.
wait_healthy() {
  local name=$1 url=$2 until code='' port=${2#http://127.0.0.1:}
  port=${port%%/*}
  until=$(($(now_ms) + $3 * 1000))
  while [ "$(now_ms)" -lt "$until" ]; do
    if ! running_pid "$name" >/dev/null; then
      start_failed "$name" "the $name ended right after its start"
    fi
    if port_taken "$port"; then
      code=$(http_code "$url")
      [ "$code" != 200 ] || return 0
      sleep 0.3
    fi
    sleep 0.1
  done
  start_failed "$name" "the $name is not healthy after $3 s: $url answers ${code:-nothing}"
}

start_failed() {
  warn "$2. The end of its log:"
  sed -n '/^--- .*: \.\/opr start$/h;//!H;$!d;x;p' "$log_dir/$1.log" | tail -n 20 | sed 's/^/  | /' >&2
  die "start failed." "Whole log: $log_dir/$1.log" "When the cause is mended: ./opr start"
}

start_origin() {
  if running_pid origin >/dev/null; then
    [ "$(http_code "$origin_url/health")" != 200 ] || return 0
    warn "the origin runs but is not healthy; restarting it"
    halt origin || true
  fi
  need_port origin "$origin_port" OPR_ORIGIN_PORT
  need_port "origin's metrics" "$metrics_port" OPR_METRICS_PORT
  rotate_log origin
  EDGE_TOKEN_KEY=$(secret EDGE_TOKEN_KEY) launch origin \
    "$edgescale" serve --config "$state/config.yaml"
  wait_healthy origin "$origin_url/health" 20
}

# The operator's own key: made once, made again when the database no longer knows it.
ensure_api_key() {
  local key code output
  key=$(secret HEADSCALE_API_KEY)
  if [ -n "$key" ]; then
    code=$(bearer "$key" | http_code "$origin_url/api/v1/user" -K -)
    case $code in
      200 | 429) return 0 ;;
      401) say "..    the operator's key is not known to this database; making a new one" ;;
      *) die "the origin answers $code to the operator's key." "Look at: ./opr logs origin" ;;
    esac
  fi
  output=$("$edgescale" --config "$state/config.yaml" apikeys create --expiration 87600h 2>&1) ||
    die "the operator's API key could not be made: $output"
  key=$(grep -oE 'tskey-api-[A-Za-z0-9_.-]+' <<<"$output" | head -n 1) ||
    die "the command line printed no API key: $output"
  set_secret HEADSCALE_API_KEY "$key"
  # The Worker reads its secrets when it starts.
  halt edge || true
}

start_edge() {
  if running_pid edge >/dev/null; then
    [ "$(http_code "$edge_url/health")" != 200 ] || return 0
    warn "the Worker runs but is not healthy; restarting it"
    halt edge || true
  fi
  need_port Worker "$edge_port" OPR_EDGE_PORT
  rotate_log edge
  WRANGLER_SEND_METRICS=false CLOUDFLARE_CF_FETCH_ENABLED=false WRANGLER_HIDE_BANNER=true \
    WRANGLER_LOG_PATH=$log_dir/wrangler WRANGLER_REGISTRY_PATH=$state/wrangler-registry \
    NO_COLOR=1 PATH=$(dirname "$node"):$PATH launch edge \
    "$node" "$wrangler" dev --ip 127.0.0.1 --port "$edge_port" --inspector-port 0 \
    --env-file "$secrets" --var "HEADSCALE_URL:$origin_url" \
    --persist-to "$state/wrangler" --show-interactive-dev-session=false
  wait_healthy edge "$edge_url/health" 45
}

# take_lock: one start, stop or update at a time for each state folder.
take_lock() {
  mkdir -p "$state"
  exec 9>"$state/.lock"
  flock -n 9 && return
  say "..    another ./opr works on $state; waiting for it"
  flock -w 1800 9 || die "another ./opr still holds $state/.lock after 30 minutes."
}

cmd_start() {
  [ $# -eq 0 ] || die "start takes no arguments." "./opr help shows its variables."
  local begun
  begun=$(now_ms)
  take_lock
  load_ports
  if [ "$(http_code "$origin_url/health")$(http_code "$edge_url/health")" = 200200 ] &&
    running_pid origin >/dev/null && running_pid edge >/dev/null; then
    say "Already running."
    print_next
    return 0
  fi
  # Before the long work, not after it.
  if ! running_pid origin >/dev/null; then
    halt origin || true
    need_port origin "$origin_port" OPR_ORIGIN_PORT
    need_port "origin's metrics" "$metrics_port" OPR_METRICS_PORT
  fi
  if ! running_pid edge >/dev/null; then
    halt edge || true
    need_port Worker "$edge_port" OPR_EDGE_PORT
  fi
  if [ ! -x "$edgescale" ] || [ ! -f "$edge_module" ] || [ ! -d node_modules ]; then
    say "First start: this installs what is missing and builds; expect some minutes."
  fi
  install_all
  build_origin
  build_edge
  prepare_state
  local booting
  booting=$(now_ms)
  start_origin
  ensure_api_key
  say "ok    origin healthy at $origin_url ($(since_ms "$booting"))"
  booting=$(now_ms)
  start_edge
  say "ok    Worker healthy at $edge_url ($(since_ms "$booting"))"
  say "Running after $(since_ms "$begun")."
  print_next
}

print_next() {
  local prefix=''
  [ "$state" = "$root/var" ] || prefix="OPR_STATE=$state "
  cat <<TEXT

  Worker    $edge_url         what clients and API callers use
  Origin    $origin_url         the control server behind it
  Metrics   $metrics_url/metrics
  API key   $(secret HEADSCALE_API_KEY)
            kept in $secrets

Next:
  curl -H "Authorization: Bearer $(secret HEADSCALE_API_KEY)" $edge_url/api/v1/user
  ${prefix}./opr node:register   make a key for a machine and print its \`tailscale up\` line
  ${prefix}./opr health:full     check every part
  ${prefix}./opr logs -f         follow both logs
  ${prefix}./opr stop            stop both
TEXT
}

cmd_stop() {
  take_lock
  local stopped=''
  # The Worker first, so that nobody meets a 502.
  if halt edge; then stopped+=' Worker'; fi
  if halt origin; then stopped+=' origin'; fi
  if [ -n "$stopped" ]; then say "Stopped:$stopped."; else say "Nothing was running."; fi
}

# status_line NAME TITLE URL
status_line() {
  local pid since
  if ! pid=$(running_pid "$1"); then
    printf '%-7s not running\n' "$2"
    return 1
  fi
  since=$(ps -o lstart= -p "$pid" | sed 's/  */ /g')
  local code
  code=$(http_code "$3/health")
  if [ "$code" = 200 ]; then
    printf '%-7s running  %s  pid %s since %s\n' "$2" "$3" "$pid" "$since"
  else
    printf '%-7s running, not healthy (/health answers %s)  %s  pid %s since %s\n' \
      "$2" "${code/000/nothing}" "$3" "$pid" "$since"
    return 1
  fi
}

cmd_status() {
  load_ports
  local code=0
  status_line origin origin "$origin_url" || code=3
  status_line edge Worker "$edge_url" || code=3
  return $code
}

cmd_logs() {
  local follow='' which=() word
  for word in "$@"; do
    case $word in
      -f | --follow) follow=1 ;;
      origin | edge) which+=("$log_dir/$word.log") ;;
      worker) which+=("$log_dir/edge.log") ;;
      *) die "logs: '$word' is neither origin, edge nor -f." ;;
    esac
  done
  [ ${#which[@]} -gt 0 ] || which=("$log_dir/origin.log" "$log_dir/edge.log")
  local log
  for log in "${which[@]}"; do
    [ -f "$log" ] || die "there is no log yet at $log." "./opr start makes it."
  done
  if [ -n "$follow" ]; then exec tail -n 30 -F "${which[@]}"; else tail -n 60 "${which[@]}"; fi
}

cmd_update() {
  [ -z "$(git status --porcelain --untracked-files=no)" ] ||
    die "this checkout has uncommitted changes." "Commit or stash them, then ./opr update."
  local was_running=''
  if running_pid origin >/dev/null || running_pid edge >/dev/null; then was_running=1; fi
  step "pulling" git pull --ff-only ||
    die "git pull --ff-only failed." "This branch has gone its own way; merge or rebase by hand."
  # The opr that runs now may be the old one: the new one goes on.
  if [ -n "$was_running" ]; then
    ./opr build
    ./opr stop
    exec ./opr start
  fi
  exec ./opr build
}

cmd_build() {
  install_all
  build_origin
  build_edge
}
