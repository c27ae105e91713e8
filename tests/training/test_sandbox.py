"""Code of models does no harm: what it must not do fails, and it is never run where that cannot be had."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tradewind.errors import UsageError
from tradewind.training import sandbox
from tradewind.training.sandbox import Failed, Limits

SHORT = Limits(cpu_s=1, memory_bytes=256 << 20)


def result(code: str, *arguments: Any) -> Any:
    (value,) = sandbox.call(code, "f", [list(arguments)], SHORT).values
    return value


def test_plain_code_runs_and_gets_its_standard_library() -> None:
    code = "import math, re\nfrom datetime import datetime\n"
    code += "def f(x):\n    return [math.gcd(x, 4), re.sub('a', 'b', 'aa'), datetime.strptime('2024-02-29', '%Y-%m-%d').day]"
    assert result(code, 6) == [2, "bb", 29]


def test_one_bad_call_does_not_spoil_the_others() -> None:
    values = sandbox.call("def f(x):\n    return 1 / x", "f", [[1], [0], [2]]).values
    assert values == (1.0, Failed("ZeroDivisionError"), 0.5)


@pytest.mark.parametrize(
    ("attempt", "why"),
    [
        ("import socket; return socket.socket()", "ModuleNotFoundError"),
        ("import _socket; return _socket.socket()", "PermissionError"),
        ("open('made.txt', 'w')", "PermissionError"),
        ("import os; os.open('/tmp/made', os.O_WRONLY | os.O_CREAT)", "PermissionError"),
        ("return open('/etc/hostname').read()", "PermissionError"),
        ("import os; os.unlink('/tmp/x')", "PermissionError"),
        ("import os; return os.fork()", "PermissionError"),
        ("import os; os.execv('/bin/true', ['true'])", "PermissionError"),
        ("import os; return os.system('true')", "PermissionError"),
        ("import os; os.kill(os.getppid(), 9)", "PermissionError"),
        ("import subprocess", "ModuleNotFoundError"),
        ("import ctypes", "ModuleNotFoundError"),
        ("import threading", "ModuleNotFoundError"),
        ("return len(bytearray(1 << 32))", "MemoryError"),
        ("import resource; resource.setrlimit(resource.RLIMIT_CPU, (99, 99))", "PermissionError"),
        ("while True: pass", "ended with status"),
        ("return f()", "RecursionError"),
        ("import os; os.write(1, b'[]'); os._exit(0)", "ended with status"),
        ("import os; os.putenv('A', 'b')", "PermissionError"),
        ("import os, sys; sys.modules['__main__'].REFUSED_EVENTS = (); os.putenv('A', 'b')", "PermissionError"),
        ("import sys; sys.exit(0)", "SystemExit"),
    ],
)
def test_an_attempt_fails(attempt: str, why: str) -> None:
    found = result(f"def f():\n    {attempt}")
    assert isinstance(found, Failed)
    assert why in found.why


def test_neither_environment_nor_expected_values_are_to_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "4711")
    assert result("import os\ndef f():\n    return 'SECRET_KEY' in os.environ") is False


UNGUARDED = """
import ctypes, json, mmap, os, runpy, sys, _socket
confinement = runpy.run_path(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
pid, is_intel = os.getpid(), os.uname().machine == "x86_64"
confinement["filter_system_calls"]()

def call(function, *arguments):
    ctypes.set_errno(0)
    return [function(*arguments), ctypes.get_errno()]

def attempt(function, *arguments):
    try:
        return [function(*arguments), 0]
    except OSError as error:
        return [-1, error.errno]

found = {
    "ptrace": call(libc.ptrace, 0, 0, 0, 0),
    "socket": call(libc.socket, 2, 1, 0),
    "open": call(libc.open, b"/tmp/made-by-a-test", 0o101, 0o600),
    "read": call(libc.open, b"/etc/hostname", 0),
    "fork": call(libc.fork),
    "vfork": call(libc.syscall, 58) if is_intel else [-1, 1],
    "execve": call(libc.execve, b"/bin/true", None, None),
    "kill": call(libc.kill, pid, 9),
    "unshare": call(libc.unshare, 0x10000000),
    "executable memory": attempt(mmap.mmap, -1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | mmap.PROT_EXEC),
    "stderr": attempt(os.write, 2, b"x"),
    "io_uring_setup": call(libc.syscall, 425, 1, 0),
    "bpf": call(libc.syscall, 321 if is_intel else 280, 0, 0, 0),
}
os.write(1, json.dumps(found).encode())
os._exit(0)
"""


def test_the_filter_alone_refuses_system_calls_that_bypass_the_interpreter(tmp_path: Path) -> None:
    command = [sys.executable, "-c", UNGUARDED, str(sandbox.PROGRAM)]
    done = subprocess.run(command, capture_output=True, timeout=20, env={**os.environ, "HOME": str(tmp_path)})
    found = json.loads(done.stdout)
    assert {name: outcome for name, outcome in found.items() if outcome != [-1, 1]} == {}  # 1 is EPERM
    assert not Path("/tmp/made-by-a-test").exists()


def test_another_architecture_is_refused_and_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "sandboxed.py"
    text = sandbox.PROGRAM.read_text()
    program.write_text(text.replace('"x86_64": Machine', '"alpha": Machine').replace('"aarch64": Machine', '"beta": Machine'))
    monkeypatch.setattr(sandbox, "PROGRAM", program)
    with pytest.raises(UsageError, match="never run outside one: no filter of system calls is known for linux"):
        result("def f():\n    return 1")


def test_a_filter_that_does_not_hold_is_noticed_before_the_code_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "sandboxed.py"
    program.write_text(sandbox.PROGRAM.read_text().replace("        filter_system_calls()\n", ""))
    monkeypatch.setattr(sandbox, "PROGRAM", program)
    with pytest.raises(UsageError, match=r"never run outside one: .*could be had"):
        result("def f():\n    return 1")


def test_without_linux_nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(UsageError, match="that needs Linux, not darwin"):
        result("def f():\n    return 1")
