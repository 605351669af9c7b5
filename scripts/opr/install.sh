# shellcheck shell=bash
# Brings what is missing: Debian packages, npm's packages with the pinned Node.

# Node's packages need no script of their own to run (.npmrc forbids them): workerd and the Node
# that wrangler needs are plain files in packages.
case $(uname -m) in
  aarch64 | arm64) node_arch=arm64 ;;
  *) node_arch=x64 ;;
esac
node=$root/node_modules/node-linux-$node_arch/bin/node
wrangler=$root/node_modules/wrangler/bin/wrangler.js

# missing_packages FILE: those of its packages that dpkg does not know as installed.
missing_packages() {
  local installed
  installed=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' 2>/dev/null | sed -n 's/^.i. *//p' |
    sort -u)
  grep -v '^ *\(#.*\)\{0,1\}$' "$1" | sort -u | comm -23 - <(printf '%s\n' "$installed")
}

# install_packages NAME...: with apt, by root's rights.
install_packages() {
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
      die "these Debian packages are missing: $*" \
        "You are not root and there is no sudo. Ask an administrator to run:" \
        "apt-get install $*"
    fi
    if [ -t 0 ]; then
      say "      sudo installs: $*"
      sudo -v || die "sudo refused." "Ask an administrator to run: apt-get install $*"
    elif ! sudo -n true 2>/dev/null; then
      die "these Debian packages are missing: $*" \
        "sudo wants a password and there is no terminal to ask for it. Run first:" \
        "sudo apt-get install $*"
    fi
    as_root=(sudo -n)
  fi
  command -v apt-get >/dev/null ||
    die "this is not a Debian machine (no apt-get)." "Install by hand what these are there: $*"
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -y -q
    -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
  step "reading the package lists" "${apt[@]}" update ||
    die "apt-get update failed." "Look at the network and at /etc/apt/sources.list."
  step "installing $# Debian packages" "${apt[@]}" install --no-install-recommends "$@" ||
    die "apt-get install failed for: $*"
}

install_all() {
  local missing
  mapfile -t missing < <(missing_packages scripts/packages.txt)
  # A Node from elsewhere brings its own npm; Debian's comes in two packages.
  command -v npm >/dev/null || missing+=(nodejs npm)
  [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
  install_node_modules
}

install_node_modules() {
  local stamp=node_modules/.opr-lock want
  want=$(cat package-lock.json package.json .npmrc | sha256sum)
  [ -x "$node" ] && [ -f "$wrangler" ] && [ "$(cat $stamp 2>/dev/null)" = "$want" ] && return
  step "installing Node's packages (wrangler, workerd)" npm ci --no-progress ||
    die "npm ci failed." "Look at the network; a proxy goes into npm's own configuration."
  [ -x "$node" ] || die "npm ci brought no Node for $(uname -m)." \
    "Edgescale's tools run on x86-64 and arm64."
  printf '%s\n' "$want" >$stamp
}
