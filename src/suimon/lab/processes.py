"""Processes of a lab: run one to its end, start one that stays, find them again, end them.

A process is named by pid and start time, since pids are used again (proc(5), field 22 of /proc/PID/stat). Signals go
through a pidfd, so that none ever reaches a successor of the same number.

What is started keeps its starter's files until it executes its program (O_CLOEXEC, open(2)): who gets a lock that a
dead starter held finds all that it started by their mark. Were they closed before, as `subprocess` does by itself,
there would be a moment with neither lock nor mark.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from suimon.lab.error import LabError
from suimon.lab.layout import MARKER

_PROC = Path("/proc")
_NETNS = Path("/run/netns")
_STATE, _STARTED, _MEMORY, _ENVIRON_END = 0, 19, 20, 48
"""Of the fields after the command's name: state, starttime, vsize and env_end (proc_pid_stat(5))."""
_ENDED = (errno.ESRCH, errno.ENOENT, errno.EINVAL)
"""What pidfd_open(2) says of a process that has ended; which one, and while it is being reaped, differs by kernel."""
_GONE = ["X", *["0"] * _ENVIRON_END]


class Process(msgspec.Struct, frozen=True):
    """`started` is in clock ticks since boot."""

    pid: int
    started: int


def run(args: Sequence[str], *, stdin: str = "", timeout_s: float = 30, env: Mapping[str, str] | None = None) -> str:
    """The standard output of a command that ends well; otherwise a LabError with what it said."""
    _keep_files()
    try:
        done = subprocess.run(  # noqa: S603
            args, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False, env=env, close_fds=False
        )
    except FileNotFoundError:
        raise LabError(f"The program {args[0]!r} is missing; `suimon doctor` says what to install.") from None
    except subprocess.TimeoutExpired:
        raise LabError(f"`{' '.join(args)}` did not end within {timeout_s:g} s.") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise LabError(f"`{' '.join(args)}` ended with {done.returncode}: {said}")
    return done.stdout


def start(args: Sequence[str], log: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """A process of its own session, its output appended to `log`."""
    _keep_files()
    with log.open("ab") as out:
        return subprocess.Popen(  # noqa: S603
            args, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, start_new_session=True, close_fds=False
        )


def environment(marker: Path) -> dict[str, str]:
    """What a process of the lab at `marker` inherits: little, and the mark."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, MARKER: str(marker)}


def find(pid: int) -> Process | None:
    """The process that has this pid now; None for none, or for one that has ended and waits to be reaped."""
    fields = _stat(pid)
    return None if fields[_STATE] in "ZX" else Process(pid, int(fields[_STARTED]))


def alive(process: Process) -> bool:
    return find(process.pid) == process


def living_in(namespaces: Iterable[str]) -> Iterator[Process]:
    """The processes whose network namespace is one of these."""
    inodes = {_inode(_NETNS / name) for name in namespaces} - {None}
    for pid in _pids():
        if inodes and _inode(_PROC / str(pid) / "ns" / "net") in inodes and (process := find(pid)):
            yield process


def marked(marker: Path) -> Iterator[Process]:
    """The processes that carry the mark of the lab at `marker`."""
    wanted = f"{MARKER}={marker}".encode()
    for pid in _pids():
        if wanted in _environ(pid) and (process := find(pid)):
            yield process


def ancestors() -> set[int]:
    """This process and those above it, which `end` must spare."""
    found, pid = {os.getpid()}, os.getppid()
    while pid > 0:
        found.add(pid)
        pid = int((_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    return found


def end(processes: Iterable[Process], *, patience_s: float = 3) -> None:
    """Terminate them all at once, kill those that are still there after `patience_s`, and wait until they are gone."""
    spared = ancestors()
    fds = [fd for process in processes if process.pid not in spared and (fd := _open(process)) is not None]
    try:
        _signal(fds, signal.SIGTERM)
        left = _wait(fds, patience_s)
        _signal(left, signal.SIGKILL)
        if _wait(left, 10):
            raise LabError("Some processes of the lab did not end although they were killed; look for them with `ps`.")
    finally:
        for fd in fds:
            os.close(fd)


def kill(process: Process) -> None:
    """kill -9, and wait until it is gone."""
    fd = _open(process)
    if fd is None:
        return
    try:
        _signal([fd], signal.SIGKILL)
        _wait([fd], 10)
    finally:
        os.close(fd)


def tell(process: Process, number: signal.Signals) -> None:
    """Send a signal, if it still lives."""
    fd = _open(process)
    if fd is not None:
        try:
            _signal([fd], number)
        finally:
            os.close(fd)


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())


def _keep_files() -> None:
    """Programs get no more than their standard streams, whatever we were given ourselves."""
    for fd in [int(entry.name) for entry in (_PROC / "self" / "fd").iterdir()]:
        # That of the listing is closed by now.
        with suppress(OSError):
            os.set_inheritable(fd, fd <= 2)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on; those of an ended process for none."""
    try:
        # The command's name is in parentheses and may hold anything; what follows the last one is well-formed.
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return _GONE


def _environ(pid: int) -> list[bytes]:
    """What it was started with; for who is just executing its program, a moment later, when that is there."""
    environ, deadline = b"", time.monotonic() + 1
    with suppress(OSError):
        while not (environ := (_PROC / str(pid) / "environ").read_bytes()) and time.monotonic() < deadline:
            fields = _stat(pid)
            # Memory, but no place in it yet for an environment. Kernel threads have none, and no memory either.
            if fields[_MEMORY] == "0" or fields[_ENVIRON_END] != "0":
                break
            time.sleep(0.001)
    return environ.split(b"\0")


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _open(process: Process) -> int | None:
    try:
        fd = os.pidfd_open(process.pid)
    except OSError as error:
        if error.errno in _ENDED:
            return None
        raise
    if alive(process):
        return fd
    os.close(fd)
    return None


def _signal(fds: Iterable[int], number: int) -> None:
    for fd in fds:
        try:
            signal.pidfd_send_signal(fd, number)
        except ProcessLookupError:
            continue


def _wait(fds: Sequence[int], timeout_s: float) -> list[int]:
    """Those that have not ended in time. A pidfd becomes readable when its process ends (pidfd_open(2))."""
    left, deadline = set(fds), time.monotonic() + timeout_s
    poll = select.poll()
    for fd in left:
        poll.register(fd, select.POLLIN)
    while left and (rest_s := deadline - time.monotonic()) > 0:
        for fd, _ in poll.poll(rest_s * 1000):
            poll.unregister(fd)
            left.discard(fd)
    return sorted(left)
