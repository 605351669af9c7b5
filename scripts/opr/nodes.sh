# shellcheck shell=bash
# The edgescale command line against the local origin, and the key for a new machine.

origin_cli() {
  [ -x "$edgescale" ] || die "the origin is not built." "./opr start builds and starts it."
  [ -f "$state/config.yaml" ] || die "there is no local origin in $state." "./opr start makes one."
  "$edgescale" --config "$state/config.yaml" "$@"
}

cmd_cli() { origin_cli "$@"; }

cmd_node_register() {
  local user=admin expiration=24h tags='' options=()
  while [ $# -gt 0 ]; do
    case $1 in
      --user | -u | --expiration | -e | --tags)
        [ $# -gt 1 ] || die "node:register: $1 needs a value."
        case $1 in
          --user | -u) user=$2 ;;
          --tags) tags=$2 && options+=(--tags "$2") ;;
          *) expiration=$2 ;;
        esac
        shift 2
        ;;
      --user=*) user=${1#*=} && shift ;;
      --expiration=*) expiration=${1#*=} && shift ;;
      --tags=*) tags=${1#*=} && options+=(--tags "$tags") && shift ;;
      --reusable | --ephemeral) options+=("$1") && shift ;;
      *)
        die "node:register: '$1' is not known." \
          "Usage: ./opr node:register [--user NAME] [--expiration 24h] [--reusable] [--ephemeral] [--tags tag:a,tag:b]"
        ;;
    esac
  done
  load_ports
  running_pid origin >/dev/null || die "the origin is not running." "./opr start"

  local users id created key login
  users=$(origin_cli users list --output json) || die "the origin did not list its users: $users"
  id=$(jq -r --arg name "$user" 'map(select(.name == $name)) | first | .id // empty' <<<"$users")
  if [ -z "$id" ]; then
    created=$(origin_cli users create "$user" --output json) ||
      die "the user '$user' could not be made."
    id=$(jq -r .id <<<"$created")
    say "made the user $user (id $id)"
  fi
  created=$(origin_cli preauthkeys create --user "$id" --expiration "$expiration" "${options[@]}" \
    --output json) || die "the key could not be made."
  key=$(jq -r '.key // empty' <<<"$created")
  [ -n "$key" ] || die "the origin answered with no key: $created"
  login=$(sed -n 's/^server_url: *//p' "$state/config.yaml" | tr -d "\"'" | head -n 1)
  cat <<TEXT

On a machine with a stock Tailscale client:

  tailscale up --login-server=$login --authkey=$key

  That is the origin's own address (server_url in $state/config.yaml): native clients open
  their control channel with a protocol upgrade that no Cloudflare Worker can pass on.

A browser or WebAssembly client goes through the Worker with the same key: $edge_url

The key is for machines of ${tags:-$user}, expires in $expiration, and is shown only now.
TEXT
  case $login in
    *//127.* | *//localhost*)
      say "$login is reachable from this machine only; for others set listen_addr and server_url."
      ;;
  esac
}
