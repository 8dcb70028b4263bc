# shellcheck shell=bash
# Sourced by the scripts beside it: the cache they share, and their messages.

tools=${RUNLOG_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/runlog-tools}
me=${0##*/}

say() { printf '%s: %s\n' "$me" "$*" >&2; }
die() { say "$*"; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "must be root, or sudo must exist, for: $*"
    fi
}

apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=600)

# apt_with COMMAND...: runs it while no other script installs, and again with new lists if they turn out to be missing or old.
apt_with() {
    local log=$tools/log/apt
    mkdir -p "$tools/log"
    # The lock is ours: apt's own does not wait for a colleague's apt-get update.
    (
        flock 9
        "$@" >"$log" 2>&1 || { as_root "${apt[@]}" update && "$@"; } >"$log" 2>&1
    ) 9>"$log.lock" || { tail -n 5 "$log" >&2; die "apt has failed at: $*"; }
}

# apt_install PACKAGE...
apt_install() {
    command -v apt-get >/dev/null || die "apt-get is missing; install by hand: $*"
    say "installing $*"
    apt_with install_under_way "$@"
}

# Installs packages, and what a run was at that was killed. They are written down until they are whole, since a program is
# found before all that it needs is there.
install_under_way() {
    local list=$tools/log/apt.under-way packages
    [ $# = 0 ] || printf '%s\n' "$@" >>"$list"
    [ -s "$list" ] || return 0
    mapfile -t packages < <(sort -u "$list")
    as_root dpkg --configure --pending
    if as_root "${apt[@]}" install -y --fix-broken --no-install-recommends "${packages[@]}"; then
        rm "$list"
        return
    fi
    # What cannot be had at all is not tried by every script from now on.
    [ -n "$(dpkg --audit)" ] || rm "$list"
    return 1
}

# cached NAME BUILD: leaves $tools/NAME, made by `BUILD DIRECTORY` if it is not there yet.
# It appears under its name only when BUILD has ended well.
cached() {
    local path=$tools/$1 build=$2 tmp log lock t0=$SECONDS
    [ ! -e "$path" ] || return 0
    mkdir -p "$tools/log" "$tools/tmp"
    log=$tools/log/$1
    exec {lock}>"$log.lock"
    flock -n "$lock" || { say "waiting for another build of $1"; flock "$lock"; }
    if [ ! -e "$path" ]; then
        say "building $path (log: $log)"
        # Not where a killed run was at it, which may have left a child that is at it still.
        rm -rf "$tools/tmp/$1".*
        tmp=$(mktemp -d "$tools/tmp/$1.XXXXXX")/$1
        mkdir "$tmp"
        # A subshell that is not part of a condition, so that `set -e` holds inside.
        set +e
        (set -e; "$build" "$tmp") >"$log" 2>&1 {lock}>&-
        local rc=$?
        set -e
        [ $rc = 0 ] || { tail -n 20 "$log" >&2; die "building $1 failed; the whole log is $log"; }
        mv "$tmp" "$path"
        rmdir "${tmp%/*}"
        say "built $1 in $((SECONDS - t0)) s"
    fi
    exec {lock}>&-
}

# python_venv: a Python that makes environments.
python_venv() {
    command -v python3 >/dev/null || apt_install python3
    python3 -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv
}

# Another script is at it, or was killed.
[ ! -s "$tools/log/apt.under-way" ] || apt_with install_under_way
