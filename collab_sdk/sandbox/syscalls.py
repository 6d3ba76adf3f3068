"""A seccomp filter: the system calls that no benchmark needs, and that memory limits or the kernel's walls leak by.

Source: linux/filter.h, linux/seccomp.h, and the kernel's tables of system calls.
"""

import errno
import platform
import socket
import struct
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

LOAD, AND, JUMP_EQUAL, JUMP_AT_LEAST, JUMP_SET, RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCHITECTURE, FIRST_ARGUMENT, FOURTH_ARGUMENT = 0, 4, 16, 40
"""Offsets in struct seccomp_data; of an argument, the low half on little-endian machines."""
ALLOW, FAIL, KILL = 0x7FFF0000, 0x00050000, 0x80000000
NEW_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""
SHARED_ANONYMOUS = 0x21
"""MAP_SHARED and MAP_ANONYMOUS: pages that stay when no process has them resident any more."""
FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)
"""Sockets that a network namespace holds back. AF_VSOCK, for one, reaches a virtual machine's host from any."""
X32 = 0x40000000
"""Numbers from here on are x86-64's second set of calls."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """Numbers of one architecture."""

    audit: int
    clone: int
    mmap: int
    socket: int
    denied: Mapping[str, int]


# Memory that no process is charged for; namespaces and mounts; other processes; kernel interfaces with a bad record.
MACHINES = {
    "x86_64": Machine(
        audit=0xC000003E,
        clone=56,
        mmap=9,
        socket=41,
        denied={
            **{"shmget": 29, "msgget": 68, "semget": 64, "mq_open": 240, "memfd_create": 319, "memfd_secret": 447},
            **{"unshare": 272, "setns": 308, "mount": 165, "umount2": 166, "pivot_root": 155, "fsopen": 430},
            **{"open_tree": 428, "move_mount": 429, "mount_setattr": 442, "open_by_handle_at": 304},
            **{"ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312},
            **{"add_key": 248, "request_key": 249, "keyctl": 250, "bpf": 321, "perf_event_open": 298},
            **{"userfaultfd": 323, "io_uring_setup": 425},
        },
    ),
    "aarch64": Machine(
        audit=0xC00000B7,
        clone=220,
        mmap=222,
        socket=198,
        denied={
            **{"shmget": 194, "msgget": 186, "semget": 190, "mq_open": 180, "memfd_create": 279, "memfd_secret": 447},
            **{"unshare": 97, "setns": 268, "mount": 40, "umount2": 39, "pivot_root": 41, "fsopen": 430},
            **{"open_tree": 428, "move_mount": 429, "mount_setattr": 442, "open_by_handle_at": 265},
            **{"ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272},
            **{"add_key": 217, "request_key": 218, "keyctl": 219, "bpf": 280, "perf_event_open": 241},
            **{"userfaultfd": 282, "io_uring_setup": 425},
        },
    ),
}
CLONE3 = 435
"""On every architecture. Its flags lie in memory, out of a filter's reach; libc falls back to clone."""


@cache
def syscall_filter() -> str:
    """The filter, struct sock_filter[] in hex; empty on a machine whose numbers are not known here."""
    machine = MACHINES.get(platform.machine()) if sys.platform == "linux" else None
    if machine is None:
        return ""
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in _instructions(machine)).hex()


def _instructions(machine: Machine) -> Iterator[tuple[int, int, int, int]]:
    """(code, jump if true, jump if false, operand); jumps count the instructions to skip."""
    refuse, allow = (RETURN, 0, 0, FAIL | errno.EPERM), (RETURN, 0, 0, ALLOW)
    yield LOAD, 0, 0, ARCHITECTURE
    yield JUMP_EQUAL, 1, 0, machine.audit
    yield RETURN, 0, 0, KILL  # calls of another architecture have other numbers
    yield LOAD, 0, 0, NUMBER
    yield JUMP_AT_LEAST, 0, 1, X32
    yield refuse
    yield JUMP_EQUAL, 0, 1, CLONE3
    yield RETURN, 0, 0, FAIL | errno.ENOSYS
    for number in machine.denied.values():
        yield JUMP_EQUAL, 0, 1, number
        yield refuse
    yield from (
        (JUMP_EQUAL, 0, 4, machine.clone),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (JUMP_SET, 0, 1, NEW_NAMESPACES),
        refuse,
        allow,
    )
    yield from (
        (JUMP_EQUAL, 0, 5, machine.mmap),
        (LOAD, 0, 0, FOURTH_ARGUMENT),
        (AND, 0, 0, SHARED_ANONYMOUS),
        (JUMP_EQUAL, 0, 1, SHARED_ANONYMOUS),
        refuse,
        allow,
    )
    yield JUMP_EQUAL, 0, len(FAMILIES) + 2, machine.socket
    yield LOAD, 0, 0, FIRST_ARGUMENT
    for place, family in enumerate(FAMILIES):
        yield JUMP_EQUAL, len(FAMILIES) - place, 0, family
    yield refuse
    yield allow
