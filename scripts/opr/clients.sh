# shellcheck shell=bash
# Real clients for the tests: a Go that can build Tailscale's, and the builds, of the versions that
# tests/e2e/go pins; a browser. The builds are in build/clients/{old,new}.

clients_dir=$root/build/clients
go=go

# The environment of every Go command: the pinned versions and nothing else decides.
go_run() {
  env -u GOFLAGS GOTOOLCHAIN=local GOWORK=off "$go" "$@"
}

# go_serves COMMAND: it is there and as new as the newest client asks for.
go_serves() {
  local have want
  have=$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null) || return 1
  want=$(sed -n 's/^go //p' tests/e2e/go/go.mod)
  [ "$(printf '%s\n' "$want" "${have#go}" | sort -V | head -n 1)" = "$want" ]
}

# Sets `go`: the machine's own, else the pinned one. An old Go (Debian's) is enough to bring the
# pinned one, which is a module like others.
install_go() {
  local version sum arch=amd64 bootstrap=go
  go=go
  if go_serves go; then return; fi
  [ "$node_arch" = arm64 ] && arch=arm64
  read -r version sum < <(sed -n "s/^\([0-9.]*\) $arch /\1 /p" scripts/go_toolchain.txt)
  go=$root/build/go-$version/bin/go
  if go_serves "$go"; then return; fi
  if ! command -v go >/dev/null; then
    install_packages golang-go
    bootstrap=/usr/bin/go
  fi
  step "installing Go $version" fetch_go "$bootstrap" "v0.0.1-go$version.linux-$arch" "$sum" \
    "$root/build/go-$version"
}

# fetch_go COMMAND VERSION SUM FOLDER
fetch_go() {
  local scratch answer folder sum
  scratch=$(mktemp -d "$root/build/go-XXXXXX")
  printf 'module bootstrap\n' >"$scratch/go.mod"
  # Our own sum is asked for below, so the public checksum database need not be reachable.
  answer=$(cd "$scratch" && env GOFLAGS=-modcacherw GONOSUMDB=golang.org/toolchain \
    GOMODCACHE="$scratch/modules" GOTOOLCHAIN=local "$1" mod download -json "golang.org/toolchain@$2") ||
    { printf '%s\n' "$answer" && rm -rf "$scratch" && return 1; }
  sum=$(jq -r .Sum <<<"$answer")
  folder=$(jq -r .Dir <<<"$answer")
  if [ "$sum" != "$3" ]; then
    echo "the toolchain's sum is $sum, not $3 of scripts/go_toolchain.txt"
    rm -rf "$scratch"
    return 1
  fi
  # As a module it lost its execute bits, and its own go.mod has another name.
  chmod +x "$folder"/bin/* "$folder"/pkg/tool/*/*
  mv "$folder/src/_go.mod" "$folder/src/go.mod"
  rm -rf "$4"
  mv "$folder" "$4"
  rm -rf "$scratch"
}

# Builds what is not of the present sources. The first build takes minutes; Go keeps what it made.
build_clients() {
  local stamp=$clients_dir/.stamp want
  want=$(find tests/e2e/go scripts/opr/clients.sh -type f -print0 | sort -z | xargs -0 cat | sha256sum)
  [ "$(cat "$stamp" 2>/dev/null)" = "$want" ] && return
  install_go || return
  step "building Tailscale's clients" compile_clients || return
  printf '%s\n' "$want" >"$stamp"
}

compile_clients() {
  local folder=$root/tests/e2e/go ts=tailscale.com/cmd
  # Left out: large packages for clouds and clusters, which no test reaches.
  local omit=ts_omit_aws,ts_omit_kube,ts_omit_bird,ts_omit_tap
  local build=(go_run build -C "$folder" -p "$jobs" "-ldflags=-s -w" "-tags=$omit")
  mkdir -p "$clients_dir/old" "$clients_dir/new"
  "${build[@]}" -o "$clients_dir/new/" $ts/tailscale $ts/tailscaled $ts/derper $ts/derpprobe ./tsnet &&
    "${build[@]}" -o "$clients_dir/new/protocol" "-tags=$omit,ts_debug_websockets" . &&
    "${build[@]}" -o "$clients_dir/old/" -modfile=go-1.80.mod $ts/tailscale $ts/tailscaled &&
    "${build[@]}" -o "$clients_dir/old/protocol" -modfile=go-1.80.mod \
      "-tags=$omit,ts180,ts_debug_websockets" . &&
    GOOS=js GOARCH=wasm "${build[@]}" -o "$clients_dir/new/browser.wasm" $ts/tsconnect/wasm &&
    cp "$(go_run env GOROOT)/lib/wasm/wasm_exec.js" "$clients_dir/new/"
}

# Chromium, for the tests that need a browser, and only for them: 150 MB to fetch.
install_browser() {
  command -v chromium-headless-shell >/dev/null || command -v chromium >/dev/null ||
    (install_packages chromium-headless-shell)
}
