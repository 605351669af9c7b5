# shellcheck shell=bash
# Cloudflare: deploying the Worker to production, and what Access should protect.

# What the Worker refuses to work without; the dry run must list each.
worker_bindings="HEADSCALE_URL LIMITER ANALYTICS"
worker_secrets="HEADSCALE_API_KEY EDGE_TOKEN_KEY"

# wrangler with the Node that it needs, whatever the machine has.
cmd_wrangler() {
  install_all
  WRANGLER_SEND_METRICS=false PATH=$(dirname "$node"):$PATH exec "$node" "$wrangler" "$@"
}

run_wrangler() {
  WRANGLER_SEND_METRICS=false WRANGLER_HIDE_BANNER=true PATH=$(dirname "$node"):$PATH \
    "$node" "$wrangler" "$@" </dev/null
}

cmd_cf_deploy() {
  local dry=''
  case ${1:-} in
    '') ;;
    --dry-run) dry=1 ;;
    *) die "cf:deploy: '$1' is not known." "Usage: ./opr cf:deploy [--dry-run]" ;;
  esac
  install_all
  check_production_config "$dry"
  build_edge
  check_bindings
  if [ -n "$dry" ]; then
    say "Dry run: nothing was deployed."
    return
  fi
  check_cloudflare_login
  check_worker_secrets
  step "deploying" run_wrangler deploy --env production ||
    die "wrangler deploy failed." "Its output is above; nothing else was changed."
  say "Deployed. Now check it from outside:"
  say "  HEADSCALE_API_KEY=tskey-api-... ./opr health:full --url https://YOUR-HOST"
  say "Set the route to fail closed (docs/operating.md): that is a setting of the zone."
}

# check_production_config DRY: in a dry run the examples are only pointed out.
check_production_config() {
  local found problem
  found=$("$node" scripts/deploy_check.mjs 2>&1) || true
  if ! grep -q '^problem ' <<<"$found"; then
    grep -q '^route ' <<<"$found" || die "wrangler.toml could not be read:" "$found"
    say "ok    wrangler.toml: $(sed -n 's/^route //p' <<<"$found" | paste -sd' ')"
    return
  fi
  while read -r problem; do
    warn "wrangler.toml: $problem"
  done < <(sed -n 's/^problem //p' <<<"$found")
  [ -n "$1" ] || die "wrangler.toml is not ready for production." \
    "Edit [env.production] in wrangler.toml, then ./opr cf:deploy"
}

check_bindings() {
  local table=build/opr-logs/binding-table.txt name
  mkdir -p build/opr-logs
  run_wrangler deploy --env production --dry-run --outdir build/edge-upload >"$table" 2>&1 || {
    tail -n 30 "$table" >&2
    die "wrangler deploy --dry-run failed."
  }
  for name in $worker_bindings; do
    grep -q "env\.$name\b" "$table" || {
      cat "$table" >&2
      die "env.production lacks the binding $name." \
        "Environments inherit none from the top of wrangler.toml; name it in [env.production]."
    }
  done
  say "ok    bindings: $worker_bindings; $(grep -o 'Total Upload.*' "$table" | head -n 1)"
}

check_cloudflare_login() {
  local who
  who=$(run_wrangler whoami 2>&1) || true
  if grep -qiE 'not authenticated|not logged in' <<<"$who"; then
    die "wrangler is not logged in to Cloudflare." \
      "Either: ./opr wrangler login" \
      "or set CLOUDFLARE_API_TOKEN (permission 'Edit Cloudflare Workers') and CLOUDFLARE_ACCOUNT_ID."
  fi
  grep -qE '[0-9a-f]{32}' <<<"$who" ||
    die "Cloudflare did not say which account this login has:" "$(grep -v '^ *$' <<<"$who")"
  if [ -z "${CLOUDFLARE_ACCOUNT_ID:-}" ] && ! grep -q '^account_id' wrangler.toml &&
    [ "$(grep -cE '[0-9a-f]{32}' <<<"$who")" -gt 1 ]; then
    die "this login sees several Cloudflare accounts." "Choose one: CLOUDFLARE_ACCOUNT_ID=..." \
      "$(grep -E '[0-9a-f]{32}' <<<"$who")"
  fi
  say "ok    logged in to Cloudflare"
}

check_worker_secrets() {
  local list name missing=()
  list=$(run_wrangler secret list --env production --format json 2>&1) || true
  for name in $worker_secrets; do
    grep -q "\"$name\"" <<<"$list" || missing+=("$name")
  done
  if [ ${#missing[@]} -eq 0 ]; then
    say "ok    secrets: $worker_secrets"
    return
  fi
  local lines=("Put each (it asks for the value):")
  for name in "${missing[@]}"; do
    lines+=("  ./opr wrangler secret put $name --env production")
  done
  lines+=("EDGE_TOKEN_KEY is the origin's (edge.token_key: 64 hexadecimal digits, the same on both),"
    "HEADSCALE_API_KEY comes from: edgescale apikeys create --expiration 8760h")
  die "the production Worker lacks secrets: ${missing[*]}" "${lines[@]}"
}

cmd_cf_access() {
  cat <<'TEXT'
Cloudflare Access in front of the Worker: protect the paths of people, never those of machines.

  Zero Trust > Access > Applications > Add > Self-hosted
    Protect   YOUR-HOST/api          (and /register, /auth if only signed-in people may approve)
    Never     /key /ts2021 /derp /machine /verify /health   every Tailscale client would be refused
    Policy    Allow, with the people or groups who administer; for programs a service token
  Do not switch Access on for the whole Worker: it answers WebSockets with 403.

Then tell the Worker which Access to believe ([env.production.vars] in wrangler.toml):
  ACCESS_TEAM_DOMAIN  TEAM.cloudflareaccess.com
  ACCESS_AUD          the application's audience tag (Overview page of the application)
and deploy: ./opr cf:deploy. docs/operating.md has the whole walk.
TEXT
}
