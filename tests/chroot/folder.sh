# Folders with a Debian of their own, made by debootstrap: functions for bash scripts that are run from
# the root of the source tree. Folders are kept in .chroot, so that only the first run is slow.
# Exit status 77: it cannot be done here; one line says why.

# What this machine's own packages come from; MIRROR=… takes another one.
MIRROR=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | grep -v security | head -n 1 || true)}
PACKAGES=python3,python3-venv,python3-dev,gcc,g++,make,git,curl,openssl,ca-certificates,procps
PACKAGES+=,rpm,iproute2 # for tests/packages
CANNOT=77

cannot() {
  echo "skipped: $1" >&2
  exit $CANNOT
}

# Where mounts and processes are in namespaces of their own, they are gone with the script.
need_namespaces() {
  [ "$(id -u)" = 0 ] || cannot "only root can make a folder with another Debian"
  unshare --mount --pid --fork true 2>/dev/null || cannot "there are no namespaces here"
}

# make_folder SUITE FOLDER [PACKAGES]
make_folder() {
  [ -f "$2/etc/debian_version" ] && return
  [ -n "$MIRROR" ] || cannot "MIRROR=… must say where packages of Debian are"
  if ! command -v debootstrap >/dev/null; then
    apt-get update -qq && apt-get install -qq -y debootstrap || cannot "debootstrap is missing and cannot be installed"
  fi
  # All suites since 2010 are made alike, and an older debootstrap does not know the newest names.
  local script=/usr/share/debootstrap/scripts/sid
  rm -rf "$2.new"
  mkdir -p "$2.new"
  debootstrap --variant=minbase --include="${3:-$PACKAGES}" "$1" "$2.new" "$MIRROR" "$script" \
    >"$2.log" 2>&1 || cannot "debootstrap has not made $1; see $2.log"
  mv "$2.new" "$2"
}

# copy_pip_config FOLDER: what pip is told here, and the certificates that it trusts, hold there too
copy_pip_config() {
  local file
  for file in /etc/pip.conf "$HOME/.config/pip/pip.conf" /etc/ssl/certs/ca-certificates.crt; do
    [ -f "$file" ] && install -D -m 644 "$file" "$1$file"
  done
  cp /etc/resolv.conf /etc/hosts "$1/etc/"
}

# Folders that pip's configuration names; the files of an index stand beside its `simple`.
local_folders() {
  { cat "$HOME/.config/pip/pip.conf" /etc/pip.conf 2>/dev/null; env | grep ^PIP_; } |
    grep -oE '(file://|[ =])/[^ ]+' | sed -E 's,^(file://|[ =]),,; s,/simple/?$,,' | sort -u |
    while read -r path; do [ -d "$path" ] && echo "$path"; done || true
}

# mount_folder FOLDER: in the mount namespace of the caller
mount_folder() {
  local path
  mount --make-rprivate /
  mount -t proc proc "$1/proc"
  mount --rbind /sys "$1/sys"
  mount --rbind /dev "$1/dev"
  mount -t tmpfs tmpfs "$1/dev/shm"
  mount -t tmpfs tmpfs "$1/tmp"
  for path in $(local_folders); do
    mkdir -p "$1$path"
    mount --bind "$path" "$1$path"
  done
}
