#!/bin/sh
# Run a command in a userland of another architecture: enter.sh ROOT CPUINFO FORMAT COMMAND...
#
# Within namespaces of its own (unshare --map-root-user --mount --net), so that nothing of the machine changes: the
# kernel is told to start the board's programs by qemu here alone, which it can since Linux 6.7.
set -u
root=$1 cpuinfo=$2 format=$3
shift 3
{
    mount -t binfmt_misc none /proc/sys/fs/binfmt_misc &&
        printf '%s' "$format" >/proc/sys/fs/binfmt_misc/register &&
        mount --rbind /proc "$root/proc" &&
        mount --bind "$cpuinfo" "$root/proc/cpuinfo" &&
        mount --rbind /dev "$root/dev"
} || exit 124
exec chroot "$root" /usr/bin/env --chdir=/root -- "$@"
