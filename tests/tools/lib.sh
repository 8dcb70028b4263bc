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

# apt_install PACKAGE...: refreshes the lists only when they turn out to be missing or old.
apt_install() {
    command -v apt-get >/dev/null || die "apt-get is missing; install by hand: $*"
    say "installing $*"
    local log=$tools/log/apt
    mkdir -p "$tools/log"
    # The lock is ours: apt's own does not wait for a colleague's apt-get update.
    (
        flock 9
        local quiet=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120)
        as_root "${quiet[@]}" install -y --no-install-recommends "$@" >"$log" 2>&1 ||
            { as_root "${quiet[@]}" update && as_root "${quiet[@]}" install -y --no-install-recommends "$@"; } >"$log" 2>&1
    ) 9>"$log.lock" || { tail -n 5 "$log" >&2; die "apt-get could not install: $*"; }
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
        tmp=$tools/tmp/$1
        rm -rf "$tmp"
        mkdir -p "$tmp"
        # A subshell that is not part of a condition, so that `set -e` holds inside.
        set +e
        (set -e; "$build" "$tmp") >"$log" 2>&1 {lock}>&-
        local rc=$?
        set -e
        [ $rc = 0 ] || { tail -n 20 "$log" >&2; die "building $1 failed; the whole log is $log"; }
        mv "$tmp" "$path"
        say "built $1 in $((SECONDS - t0)) s"
    fi
    exec {lock}>&-
}

# python_venv: a Python that makes environments.
python_venv() {
    command -v python3 >/dev/null || apt_install python3
    python3 -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv
}
