"""The program in which an answer's code runs: `python -I -S sandboxed.py`, a job on stdin, its results on stdout.

It imports nothing of Tradewind, gives up what it can (resource limits, namespaces, system calls) before it reads a line of
the code, and tests that it has. The results are compared elsewhere: what is expected never comes here.
"""

from __future__ import annotations

import _socket
import ctypes
import json
import os
import platform
import resource
import sys
from typing import Any, NamedTuple

READY = b"ready\n"
"""Written once the process is confined; what comes before it is why it could not be."""
NOT_CONFINED = 70
"""Exit status; the reason is on stdout."""

PRELOADED = (
    "_strptime",
    "abc",
    "array",
    "bisect",
    "calendar",
    "cmath",
    "collections",
    "collections.abc",
    "copy",
    "csv",
    "dataclasses",
    "datetime",
    "decimal",
    "enum",
    "fractions",
    "functools",
    "hashlib",
    "heapq",
    "itertools",
    "math",
    "numbers",
    "operator",
    "random",
    "re",
    "statistics",
    "string",
    "textwrap",
    "time",
    "typing",
    "unicodedata",
)
"""What code may import: afterwards no file can be opened."""

# <linux/seccomp.h>, <linux/prctl.h>, <linux/filter.h>, <linux/audit.h>
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
KILL_PROCESS, REFUSE, ALLOW = 0x80000000, 0x00050000 | 1, 0x7FFF0000
"""What a filter answers; `REFUSE` is EPERM."""
LOAD, JUMP_EQUAL, JUMP_AT_LEAST, JUMP_ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER_AT, ARCHITECTURE_AT, ARGUMENTS_AT = 0, 4, 16
"""Offsets in `struct seccomp_data`; an argument has eight bytes, the low four first."""
PROT_EXEC = 4
X32_BIT = 0x40000000
CLONE_NEW_USER_NET_IPC_UTS = 0x10000000 | 0x40000000 | 0x08000000 | 0x04000000


class Machine(NamedTuple):
    """System calls of an architecture: all others are refused."""

    audit: int
    """AUDIT_ARCH_*"""
    always: tuple[int, ...]
    write: int
    """to stdout only"""
    mapping: tuple[int, ...]
    """mmap, mprotect: never executable"""


MACHINES = {
    # read close fstat lseek munmap brk rt_sigaction rt_sigprocmask rt_sigreturn mremap madvise futex getrandom clock_gettime
    # gettimeofday exit exit_group sigaltstack
    "x86_64": Machine(
        0xC000003E, (0, 3, 5, 8, 11, 12, 13, 14, 15, 25, 28, 202, 318, 228, 96, 60, 231, 131), write=1, mapping=(9, 10)
    ),
    "aarch64": Machine(
        0xC00000B7,
        (63, 57, 80, 62, 215, 214, 134, 135, 139, 216, 233, 98, 278, 113, 169, 93, 94, 132),
        write=64,
        mapping=(222, 226),
    ),
}


class Instruction(ctypes.Structure):
    """`struct sock_filter`"""

    _fields_ = (("code", ctypes.c_ushort), ("yes", ctypes.c_ubyte), ("no", ctypes.c_ubyte), ("value", ctypes.c_uint))


class Program(ctypes.Structure):
    """`struct sock_fprog`"""

    _fields_ = (("length", ctypes.c_ushort), ("first", ctypes.POINTER(Instruction)))


class NotConfined(Exception):
    """The platform does not hold what code must be held by."""


def instructions(machine: Machine) -> list[tuple[int, int, int, int]]:
    """A classic BPF program, (code, jump if so, jump if not, value): these system calls and no others."""
    found = [
        (LOAD, 0, 0, ARCHITECTURE_AT),
        (JUMP_EQUAL, 1, 0, machine.audit),
        (RETURN, 0, 0, KILL_PROCESS),
        (LOAD, 0, 0, NUMBER_AT),
        (JUMP_AT_LEAST, 0, 1, X32_BIT),
        (RETURN, 0, 0, KILL_PROCESS),
    ]
    for number in machine.always:
        found += [(JUMP_EQUAL, 0, 1, number), (RETURN, 0, 0, ALLOW)]
    found += [
        (JUMP_EQUAL, 0, 4, machine.write),
        (LOAD, 0, 0, ARGUMENTS_AT),
        (JUMP_EQUAL, 0, 1, 1),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, REFUSE),
    ]
    for number in machine.mapping:
        found += [
            (JUMP_EQUAL, 0, 4, number),
            (LOAD, 0, 0, ARGUMENTS_AT + 2 * 8),
            (JUMP_ANY_BIT, 1, 0, PROT_EXEC),
            (RETURN, 0, 0, ALLOW),
            (RETURN, 0, 0, REFUSE),
        ]
    return [*found, (RETURN, 0, 0, REFUSE)]


def filter_system_calls() -> None:
    """Installs the filter, for good. Raises `NotConfined`."""
    machine = MACHINES.get(platform.machine())
    if sys.platform != "linux" or machine is None or sys.byteorder != "little" or sys.maxsize < 1 << 32:
        raise NotConfined(f"no filter of system calls is known for {sys.platform} on {platform.machine()}")
    found = [Instruction(*each) for each in instructions(machine)]
    array = (Instruction * len(found))(*found)
    program = Program(len(found), array)
    libc = ctypes.CDLL(None, use_errno=True)
    one, zero = ctypes.c_ulong(1), ctypes.c_ulong(0)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, one, zero, zero, zero) != 0:
        raise NotConfined(f"no_new_privs: {os.strerror(ctypes.get_errno())}")
    if libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), ctypes.byref(program), zero, zero) != 0:
        raise NotConfined(f"seccomp: {os.strerror(ctypes.get_errno())}")


def limit(cpu_s: int, memory_bytes: int, output_bytes: int) -> None:
    """Time, memory and the length of what is written; no new files, processes or core dumps."""
    for kind, most in (
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, output_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 0),
    ):
        resource.setrlimit(kind, (most, most))


def leave_namespaces() -> None:
    """A network without devices, where that is permitted; the filter does not need it."""
    ctypes.CDLL(None).unshare(CLONE_NEW_USER_NET_IPC_UTS)


def prove() -> None:
    """Raises `NotConfined` where the filter does not refuse a socket or a process."""
    try:
        _socket.socket()
    except PermissionError:
        pass
    except OSError as error:
        raise NotConfined(f"a socket could be had, but for {error.strerror}") from None
    else:
        raise NotConfined("a socket could be had")
    try:
        child = os.fork()
    except PermissionError:
        return
    except OSError as error:
        raise NotConfined(f"a process could be started, but for {error.strerror}") from None
    if child == 0:
        os._exit(0)
    raise NotConfined("a process could be started")


REFUSED_EVENTS = (
    "open",
    "os.",
    "socket.",
    "subprocess.",
    "ctypes.",
    "shutil.",
    "mmap.",
    "signal.",
    "fcntl.",
    "pty.",
    "resource.",
)


def refuse_events() -> None:
    """The second line: the interpreter itself refuses what the filter would."""
    prefixes = REFUSED_EVENTS  # Held by the hook: the code can give this module's name another value.

    def refuse(event: str, _arguments: Any) -> None:
        if event.startswith(prefixes):
            raise PermissionError(1, f"{event} is not permitted here")

    sys.addaudithook(refuse)


def results(code: str, function: str, calls: list[list[Any]]) -> list[dict[str, Any]]:
    """For each call its `value`, or the name of the `error`. Whatever code raises is its answer."""
    namespace: dict[str, Any] = {"__name__": "answer"}
    try:
        exec(compile(code, "answer", "exec"), namespace)
        called = namespace[function]
    except BaseException as error:  # noqa: BLE001
        return [{"error": type(error).__name__}] * len(calls)
    found = []
    for arguments in calls:
        try:
            value = called(*arguments)
            json.dumps(value)
            found.append({"value": value})
        except BaseException as error:  # noqa: BLE001
            found.append({"error": type(error).__name__})
    return found


def main() -> None:
    """Confines itself, runs the job, and ends without tidying up."""
    job = json.load(sys.stdin.buffer)
    for name in PRELOADED:
        __import__(name)
    try:
        leave_namespaces()
        limit(**job["limits"])
        filter_system_calls()
        prove()
    except NotConfined as why:
        os.write(1, str(why).encode())
        os._exit(NOT_CONFINED)
    refuse_events()
    os.write(1, READY)
    sys.stdin = sys.stdout = sys.stderr = None
    del sys.modules["ctypes"], sys.modules["_ctypes"]
    os.write(1, json.dumps(results(job["code"], job["function"], job["calls"])).encode())
    os._exit(0)


if __name__ == "__main__":
    main()
