# shellcheck shell=bash
# What every part of opr uses: messages, long steps with progress, state paths, processes by pid.

say() { printf '%s\n' "$*"; }
warn() { printf 'opr: %s\n' "$*" >&2; }

# die MESSAGE [WHAT TO DO ...]: ends with the reason on the first line and the way out below it.
die() {
  warn "$1"
  shift
  [ $# -eq 0 ] || printf '     %s\n' "$@" >&2
  exit 1
}

quiet_steps=${OPR_QUIET:-}
state=$(realpath -m -- "${OPR_STATE:-$root/var}")
run_dir=$state/run
log_dir=$state/logs
# The secrets of the default state stand where wrangler itself looks for them.
if [ "$state" = "$root/var" ]; then secrets=$root/.dev.vars; else secrets=$state/.dev.vars; fi
edgescale=$root/build/release/bin/edgescale
edge_module=$root/build/edge/edge.wasm
jobs=${OPR_JOBS:-$(nproc)}

now_ms() { date +%s%3N; }

# since_ms START: seconds with one decimal.
since_ms() {
  local ms=$(($(now_ms) - $1))
  printf '%d.%d s' $((ms / 1000)) $((ms % 1000 / 100))
}

# step TITLE COMMAND...: runs a command with its output in a log file, shows that it lives (on a
# terminal every second, elsewhere every 15 seconds), and on failure shows the end of the log.
step() {
  local title=$1 begun code=0 pid name log tick=15 shown=0
  shift
  begun=$(now_ms)
  name=$(printf '%s' "$title" | tr -cs 'a-zA-Z0-9' '-')
  mkdir -p "$root/build/opr-logs"
  log=$root/build/opr-logs/${name%-}.log
  [ -t 1 ] && tick=1
  # A process group of its own, so that an interrupt ends all of it.
  set -m
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  set +m
  # shellcheck disable=SC2064  # the pid of now
  trap "kill -TERM -- -$pid 2>/dev/null; exit 130" INT TERM
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.1
    local elapsed=$((($(now_ms) - begun) / 1000))
    if [ $((elapsed / tick)) -gt "$shown" ]; then
      shown=$((elapsed / tick))
      step_progress "$title" "$elapsed" "$log"
    fi
  done
  wait "$pid" || code=$?
  trap - INT TERM
  if [ -t 1 ] && [ "$shown" -gt 0 ]; then printf '\r\033[K'; fi
  if [ "$code" -ne 0 ]; then
    say "FAIL  $title ($(since_ms "$begun"))"
    tail -n "${OPR_FAIL_LINES:-60}" "$log" | sed 's/^/      | /'
    say "      whole output: $log"
    return "$code"
  fi
  [ -n "$quiet_steps" ] || say "ok    $title ($(since_ms "$begun"))"
}

step_progress() {
  local last
  last=$(tail -n 1 "$3" 2>/dev/null | tr -d '\000' | tr '\r\t' '  ' | cut -c1-60)
  if [ -t 1 ]; then
    printf '\r\033[K..    %s, %s s  %s' "$1" "$2" "$last"
  else
    say "..    $1, $2 s  $last"
  fi
}

# nearest_word WORD CANDIDATE...: the candidate within an edit distance of 3 and of half of WORD (or
# that begins with WORD, or holds it as a part), else nothing.
nearest_word() {
  printf '%s\n' "$@" | awk '
    NR == 1 { word = $0; next }
    {
      n = length(word); m = length($0)
      for (i = 0; i <= n; i++) d[i, 0] = i
      for (j = 0; j <= m; j++) d[0, j] = j
      for (i = 1; i <= n; i++) for (j = 1; j <= m; j++) {
        c = substr(word, i, 1) != substr($0, j, 1)
        v = d[i - 1, j - 1] + c
        if (d[i - 1, j] + 1 < v) v = d[i - 1, j] + 1
        if (d[i, j - 1] + 1 < v) v = d[i, j - 1] + 1
        if (i > 1 && j > 1 && substr(word, i, 1) == substr($0, j - 1, 1) &&
            substr(word, i - 1, 1) == substr($0, j, 1) && d[i - 2, j - 2] + 1 < v) {
          v = d[i - 2, j - 2] + 1  # two letters swapped
        }
        d[i, j] = v
      }
      cost = d[n, m]
      if (n >= 3 && index($0, word)) cost = 1
      if (best == "" || cost < least) { best = $0; least = cost }
    }
    END { if (least <= 3 && 2 * least <= length(word)) print best }'
}

# Seconds since boot, in clock ticks, at which a process started: with it a recycled pid is told
# from the one that was written down.
start_time_of() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  stat=${stat##*) }
  # shellcheck disable=SC2086  # split into fields; the 20th after the name is starttime
  set -- $stat
  [ "$1" != Z ] || return 1
  printf '%s' "${20}"
}

# running_pid NAME: prints the pid of origin or edge if the process that we started still runs.
running_pid() {
  local pid started
  [ -f "$run_dir/$1.pid" ] && read -r pid started <"$run_dir/$1.pid" || return 1
  [ -n "$started" ] && [ "$(start_time_of "$pid" 2>/dev/null)" = "$started" ] || return 1
  printf '%s' "$pid"
}

# launch NAME COMMAND...: starts a process of its own session, so that it outlives the terminal,
# with its output appended to logs/NAME.log.
launch() {
  local name=$1 pid
  shift
  mkdir -p "$run_dir" "$log_dir"
  # The lock's descriptor (9) must not live on in a daemon.
  setsid "$@" </dev/null >>"$log_dir/$name.log" 2>&1 9>&- &
  pid=$!
  disown "$pid"
  printf '%s %s\n' "$pid" "$(start_time_of "$pid" || echo 0)" >"$run_dir/$name.pid"
}

# halt NAME: ends a process that launch started, with everything in its process group: first
# politely. Fails when there was nothing to end.
halt() {
  local name=$1 pid rest i
  if pid=$(running_pid "$name"); then
    kill -TERM "$pid" 2>/dev/null || true
    for ((i = 0; i < 100; i++)); do
      running_pid "$name" >/dev/null || break
      sleep 0.1
    done
    if running_pid "$name" >/dev/null; then
      warn "$name did not stop within 10 s; ending it"
      kill -KILL "$pid" 2>/dev/null || true
    fi
    end_group "$pid"
  elif [ -f "$run_dir/$name.pid" ] && read -r pid rest <"$run_dir/$name.pid" &&
    ! start_time_of "$pid" >/dev/null && kill -0 -- "-$pid" 2>/dev/null; then
    # The leader is dead and its workerd lives on. The group is still ours: the kernel gives no
    # process a number that is a group's.
    end_group "$pid"
  else
    rm -f "$run_dir/$name.pid"
    return 1
  fi
  rm -f "$run_dir/$name.pid"
}

# end_group NUMBER: 3 seconds to end by itself, then none.
end_group() {
  local i signal=TERM
  for ((i = 0; i < 40; i++)); do
    kill -0 -- "-$1" 2>/dev/null || return 0
    [ "$i" -lt 30 ] || signal=KILL
    kill "-$signal" -- "-$1" 2>/dev/null || true
    sleep 0.1
  done
}

port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# port_owner PORT: who listens there, as far as we may know.
port_owner() {
  local line
  line=$(ss -Hltnp "sport = :$1" 2>/dev/null | grep -o 'users:.*' | head -n 1 |
    sed -E 's/users:\(\("([^"]+)",pid=([0-9]+).*/\1 (pid \2)/')
  printf '%s' "${line:-another process (run as root to see which)}"
}

# secret NAME: the value of NAME in the secrets file.
secret() {
  [ -f "$secrets" ] && sed -n "s/^$1=\"\{0,1\}\([^\"]*\)\"\{0,1\}\$/\1/p" "$secrets" | tail -n 1
}

# set_secret NAME VALUE: writes it, readable by its owner only.
set_secret() {
  local name=$1 value=$2 fresh
  mkdir -p "$(dirname "$secrets")"
  fresh=$(umask 077 && mktemp "$secrets.XXXXXX")
  { [ ! -f "$secrets" ] || grep -v "^$name=" "$secrets" || true; } >"$fresh"
  printf '%s=%s\n' "$name" "$value" >>"$fresh"
  mv "$fresh" "$secrets"
}

random_hex() { od -An -v -tx1 -N "$1" /dev/urandom | tr -d ' \n'; }
