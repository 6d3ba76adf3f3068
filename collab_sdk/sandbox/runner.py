"""What runs inside the sandbox, as `python -c`: it takes its limits, then runs the program that comes on stdin.

stdin holds a token, a line feed and the program. On stdout goes READY, and the token if the program came to its last
line: `os._exit(0)` in the middle of it, which leaves a clean exit code too, is thus no success. The program and its
tests share this process, so code that is written against this very file could still forge the token.
"""

import os
import resource
import sys

READY = b"ready\n"
SET_NO_NEW_PRIVS, SET_SECCOMP, FILTER = 38, 22, 2
INSTRUCTION = 8
"""Bytes."""


def main() -> None:
    denied, cpu, memory, processes, file_size, open_files, *packages = sys.argv[1:]
    del sys.argv[1:]
    sys.path += packages
    token, _, program = sys.stdin.buffer.read().partition(b"\n")
    report = os.dup(1)
    os.dup2(2, 1)  # what the program prints is no report
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    # Here and not outside: of processes, the limit is counted in the sandbox's own user namespace.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (int(cpu), int(cpu) + 1))
    resource.setrlimit(resource.RLIMIT_AS, (int(memory), int(memory)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(file_size), int(file_size)))
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(open_files), int(open_files)))
    resource.setrlimit(resource.RLIMIT_NPROC, (int(processes), int(processes)))
    deny(bytes.fromhex(denied))
    os.write(report, READY)
    process = os.getpid()
    module = sys.modules["__main__"] = type(sys)("__main__")
    exec(compile(program, "<program>", "exec"), module.__dict__)  # noqa: S102
    sys.stdout.flush()
    if os.getpid() == process:
        os.write(report, token)
    os._exit(0)  # without waiting for threads that the program left behind


def deny(filter: bytes) -> None:
    """Give up system calls for good (seccomp). Raises OSError if the kernel does not take the filter."""
    if not filter:
        return
    import ctypes

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))

    libc = ctypes.CDLL(None, use_errno=True)
    program = Program(len(filter) // INSTRUCTION, filter)
    if libc.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(SET_SECCOMP, FILTER, ctypes.byref(program), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


if __name__ == "__main__":
    main()
