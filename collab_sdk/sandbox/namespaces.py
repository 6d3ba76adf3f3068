"""Isolation by user namespaces alone, where bubblewrap is not installed: util-linux's unshare, mount and setpriv."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from collab_sdk.sandbox.launch import (
    BOX,
    ENVIRONMENT,
    Launch,
    below_shell,
    installed,
    package_folders,
    readable_folders,
    runner,
)
from collab_sdk.sandbox.limits import ProgramLimits
from collab_sdk.sandbox.nobody import as_nobody, without_rights

NEW_ROOT = "/sys"
"""Where the new file system is put together: it is there everywhere, and nothing that a program needs lies in it."""
DEVICES = ("null", "full", "random", "urandom")
"""Not zero: mapped, it is memory that no process is charged for."""
BUILD = """\
set -e
root=$1 size=$2 links=$3 folders=$4 devices=$5; shift 5
mount -t tmpfs -o mode=755,size=1m tmpfs $root
mkdir -p $root/proc $root/dev $root/etc $root/tmp
mount -t tmpfs -o mode=1777,nosuid,nodev,size=$size tmpfs $root/tmp
for device in $devices; do : > $root/dev/$device; mount --bind /dev/$device $root/dev/$device; done
mkdir $root/dev/shm; mount -t tmpfs -o mode=1777,nosuid,nodev,size=$size tmpfs $root/dev/shm
for link in $links; do ln -s $(readlink $link) $root$link; done
for folder in $folders; do
    mkdir -p $root$folder; mount --bind $folder $root$folder; mount -o remount,bind,ro,nosuid,nodev $root$folder
done
cp /etc/ld.so.cache $root/etc/ 2>/dev/null || :
mount -t proc -o nosuid,nodev,noexec proc $root/proc
mount -o remount,bind,ro $root
cd $root
exec chroot $root "$@"
"""


@contextmanager
def namespaces(limits: ProgramLimits) -> Iterator[Launch]:
    """The same walls as bubblewrap's, put up by a shell script, which takes longer."""
    is_root = os.geteuid() == 0
    program = runner(limits, packages=package_folders())
    environment = ("env", "-i", "--chdir", BOX, *(f"{name}={value}" for name, value in ENVIRONMENT.items()))
    folders = readable_folders()
    links = [name for name in folders if Path(name).is_symlink()]
    yield Launch(
        command=(
            installed("unshare"),
            *(() if is_root else ("--user", "--map-root-user")),
            *("--mount", "--pid", "--fork", "--kill-child", "--net", "--ipc", "--uts", "--cgroup"),
            *("sh", "-c", BUILD, "sh", NEW_ROOT, str(limits.disk), " ".join(links)),
            *(" ".join(name for name in folders if name not in links), " ".join(DEVICES)),
            *environment,
            *below_shell(as_nobody(program) if is_root else (*without_rights(), *program)),
        )
    )
