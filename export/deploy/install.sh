#!/bin/sh
# Installs kwspot and one bundle on a board, for one user, without root.
#
#   sh install.sh [--prefix DIR] [--apt] [--service]     install, upgrade, or find that all is in place
#   sh install.sh --uninstall [--prefix DIR]             remove what was installed
#
# Everything is built in DIR/versions/ID and tried there; then one rename makes it DIR/current. Whatever
# stops this before, the version that was there still runs; run it again. ID is a hash of the archive.
# All of it is one function, so that nothing runs of a file that is cut off or removed meanwhile.

fail() {
    printf 'install.sh: %s\n' "$1" >&2
    exit 1
}

# What is left when this ends before its time. $building is empty once the new version has been switched to.
clean_up() {
    status=$?
    trap - EXIT HUP INT TERM
    if [ -n "$building" ] && ! is_current "${building##*/}"; then
        rm -rf "$building"
        rmdir "$prefix/versions" 2>/dev/null
        if [ ! -e "$prefix/current" ]; then
            rm -f "$prefix/.lock"
            rmdir "$prefix" 2>/dev/null
        fi
    fi
    exit "$status"
}

interrupted() {
    printf 'install.sh: interrupted: run it again\n' >&2
    exit 130
}

is_current() {
    [ "$(readlink "$prefix/current" 2>/dev/null)" = "versions/$1" ]
}

# A step that talks: what it says is kept in the log, and its last line is told if it fails.
step() {
    "$@" >>"$building/install.log" 2>&1 && return
    if grep -q -e 'No space left' -e 'Disk quota exceeded' "$building/install.log" 2>/dev/null ||
        [ "$(free_kb "$building")" -lt 1024 ]; then
        fail "the disk of $prefix is full; about $NEEDS_MB MB are needed: free some space and run this again. Nothing was changed"
    fi
    fail "$(grep . "$building/install.log" | tail -n 1). Nothing was changed: mend that and run this again"
}

free_kb() {
    df -Pk "$1" | awk 'NR == 2 { print $4 }'
}

# Nothing of the archive is run or read before this: each file is what SHA256SUMS says, and there is no other.
check_archive() {
    (cd "$here" && sha256sum --check --quiet --strict SHA256SUMS) >/dev/null 2>&1 ||
        fail "the archive is damaged or incomplete: a file is not what SHA256SUMS says; copy and unpack it again"
    named=$(sed 's/^[0-9a-f]*  //' "$here/SHA256SUMS" && echo SHA256SUMS)
    other=$(cd "$here" && { find . ! -type d ! -type f && find . -type f | sed 's|^[.]/||' | grep -vxF "$named"; })
    [ -z "$other" ] ||
        fail "the archive holds what SHA256SUMS does not name: $(printf '%s\n' "$other" | head -n 1); unpack it again into a new folder"
}

# A link would lead what is written and removed elsewhere.
check_links() {
    for path in versions bin; do
        [ ! -L "$prefix/$path" ] || fail "$prefix/$path is a link; expected a folder of this installer's own: choose another --prefix"
    done
}

# Sets the variables of the board's file: TITLE, APT, SYSTEM_SITE, ENGINE, REQUIREMENTS.
recognise_board() {
    command -v python3 >/dev/null || fail "there is no python3; install it: sudo apt install python3"
    system=$(python3 -c 'import sys, sysconfig; print(sysconfig.get_config_var("MULTIARCH"), "%d.%d" % sys.version_info[:2])') ||
        fail "python3 does not run: sudo apt install --reinstall python3"
    machine=$(uname -m)
    wanted=''
    for file in "$here"/boards/*.conf; do
        TITLE='' MULTIARCH='' PYTHON='' MACHINE='' APT='' SYSTEM_SITE='' ENGINE='' REQUIREMENTS='' REFUSED=''
        # shellcheck source=/dev/null
        . "$file"
        # shellcheck disable=SC2254 # a pattern is meant
        case "$machine" in
            $MACHINE)
                if [ "$system" = "$MULTIARCH $PYTHON" ]; then
                    [ -z "$REFUSED" ] || fail "this board cannot be served: $REFUSED"
                    return
                fi
                ;;
        esac
        [ -n "$REFUSED" ] || wanted="${wanted:+$wanted; }$TITLE"
    done
    fail "this archive is for $wanted; here is ${system% *} with Python ${system#* }: make one for this board with 'kwspot deploy'"
}

missing_packages() {
    for package in $APT; do
        case "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null)" in
            *' installed') ;;
            *) printf ' %s' "$package" ;;
        esac
    done
    # What pip comes from; an offline archive brings its own installer.
    if [ "$OFFLINE" = no ] && ! python3 -c 'import ensurepip' 2>/dev/null; then
        printf ' python3-venv'
    fi
}

check_packages() {
    missing=$(missing_packages)
    [ -n "$missing" ] || return 0
    if [ "$with_apt" = yes ]; then
        # shellcheck disable=SC2086 # a list is meant
        sudo apt-get install -y $missing >&2 || fail "apt could not install$missing; nothing was changed"
        missing=$(missing_packages)
        [ -n "$missing" ] || return 0
    fi
    fail "missing system packages: sudo apt install$missing, then run this again (or with --apt)"
}

make_environment() {
    set -- "$building/venv"
    [ "$SYSTEM_SITE" = no ] || set -- --system-site-packages "$@"
    if [ "$OFFLINE" = yes ]; then
        step python3 -m venv --without-pip "$@"
        step env PYTHONPATH="$(echo "$here"/installer-*.whl)" "$building/venv/bin/python" -m installer \
            --no-compile-bytecode "$here"/wheels/*.whl "$here"/kwspot-*.whl
    else
        step python3 -m venv "$@"
        set -- "$building/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir --no-deps
        step "$@" --only-binary=:all: --require-hashes --requirement "$here/requirements/$REQUIREMENTS"
        step "$@" --no-index "$here"/kwspot-*.whl
    fi
}

# The one moment in which the board changes from the old version to the new one.
switch_to() {
    rm -rf "$prefix/.new"
    if ! { ln -s "versions/$1" "$prefix/.new" && mv -T "$prefix/.new" "$prefix/current"; }; then
        fail "$prefix/current cannot be set; check the permissions of $prefix"
    fi
}

# The service's settings name the installed bundle: an upgrade may bring one of another name.
set_bundle() {
    settings=$prefix/listen.toml
    new="bundle = \"$prefix/current/$BUNDLE\""
    if [ ! -e "$settings" ]; then
        printf '%s\n' "$new" >"$settings"
        return
    fi
    old=$(grep -F "bundle = \"$prefix/current/" "$settings") || return 0
    name=${old#*"$prefix/current/"}
    [ ! -e "$prefix/current/${name%\"*}" ] || return 0
    changed=$(while IFS= read -r line; do
        [ "$line" != "$old" ] || line=$new
        printf '%s\n' "$line"
    done <"$settings")
    printf '%s\n' "$changed" >"$settings"
    printf '%s now names %s; it named %s\n' "$settings" "$BUNDLE" "${name%\"*}" >&2
}

# What hangs on the switch and may be done over and over.
finish() {
    mkdir -p "$prefix/bin"
    ln -sfn ../current/venv/bin/kwspot "$prefix/bin/kwspot"
    # Also after an upgrade: the unit names the version that it runs.
    if [ "$with_service" = yes ] || [ -e "$prefix/.service" ]; then
        set_bundle
        touch "$prefix/.service"
        "$prefix/bin/kwspot" service install --config "$prefix/listen.toml" >&2 ||
            fail "the service was not installed; all else is"
    fi
    for old in "$prefix"/versions/*; do
        is_current "${old##*/}" || rm -rf "$old"
    done
}

install() {
    recognise_board
    check_packages
    case "$prefix" in *[!A-Za-z0-9_./+@,=:~-]*) fail "--prefix $prefix: choose a folder without blanks and quotes in its path" ;; esac
    check_links
    existed=$prefix
    while [ ! -d "$existed" ]; do existed=$(dirname "$existed"); done
    [ -w "$existed" ] || fail "$existed cannot be written; choose another --prefix"
    if [ -d "$prefix" ] && [ ! -e "$prefix/.lock" ] && [ -n "$(ls -A "$prefix")" ]; then
        fail "$prefix holds other things; choose an empty or new folder with --prefix"
    fi
    id=$(sha256sum "$here/SHA256SUMS" | cut -c 1-12)
    if is_current "$id" || is_current "$id-again"; then
        if "$prefix/current/venv/bin/kwspot" selftest "$prefix/current/$BUNDLE" --engine "$ENGINE" >/dev/null 2>&1; then
            finish
            printf 'this version is already installed in %s and passes its selftest\n' "$prefix" >&2
            return
        fi
        # It no longer works, as after an upgrade of the system's Python.
        is_current "$id" && id=$id-again
    fi
    if [ "$(free_kb "$existed")" -lt $((NEEDS_MB * 1024)) ]; then
        fail "the disk of $prefix has $(($(free_kb "$existed") / 1024)) MB free and about $NEEDS_MB MB are needed: free some space and run this again"
    fi
    mkdir -p "$prefix" || fail "$prefix cannot be made"
    # The lock goes with the process, however it ends.
    exec 9>"$prefix/.lock" || fail "$prefix cannot be written"
    flock -n 9 || fail "another install.sh is at work in $prefix; wait for it"
    building=$prefix/versions/$id
    rm -rf "$building"
    mkdir -p "$building" || fail "$prefix cannot be written"
    printf 'installing for %s with %s in %s\n' "$TITLE" "$ENGINE" "$prefix" >&2
    make_environment
    step cp -R "$here/$BUNDLE" "$here/install.sh" "$building/"
    printf 'trying it on this board\n' >&2
    step "$building/venv/bin/kwspot" selftest "$building/$BUNDLE" --engine "$ENGINE"
    sync
    switch_to "$id"
    verdict=$(tail -n 1 "$building/install.log")
    building=''
    finish
    printf '%s\ninstalled; to listen: %s/bin/kwspot listen %s/current/%s\n' "$verdict" "$prefix" "$prefix" "$BUNDLE" >&2
}

uninstall() {
    [ -e "$prefix/.lock" ] || fail "nothing is installed in $prefix; say where with --prefix DIR"
    check_links
    exec 9>"$prefix/.lock"
    flock -n 9 || fail "another install.sh is at work in $prefix; wait for it"
    if [ -e "$prefix/.service" ]; then
        "$prefix/bin/kwspot" service uninstall >&2 || fail "the service could not be removed; nothing was changed"
    fi
    rm -rf "$prefix/current" "$prefix/.new" "$prefix/bin/kwspot" "$prefix/versions" "$prefix/.service" "$prefix/.lock"
    rmdir "$prefix/bin" "$prefix" 2>/dev/null
    printf 'removed from %s\n' "$prefix" >&2
}

main() {
    set -u
    umask 022
    prefix=${HOME:-/}/kwspot with_apt=no with_service=no action=install building=''
    here=$(cd "$(dirname "$0")" && pwd) || exit 1
    while [ $# -gt 0 ]; do
        case "$1" in
            --prefix)
                [ $# -ge 2 ] || fail "--prefix needs a folder"
                prefix=$2
                shift
                ;;
            --apt) with_apt=yes ;;
            --service) with_service=yes ;;
            --uninstall) action=uninstall ;;
            -h | --help)
                sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
                exit 0
                ;;
            *) fail "no option '$1'; expected --prefix DIR, --apt, --service or --uninstall" ;;
        esac
        shift
    done
    case "$prefix" in
        /*) ;;
        *) prefix=$PWD/$prefix ;;
    esac
    trap clean_up EXIT
    trap interrupted HUP INT TERM
    if [ "$action" = uninstall ]; then
        uninstall
        return
    fi
    check_archive
    # shellcheck source=/dev/null
    . "$here/archive.conf"
    install
}

main "$@"
