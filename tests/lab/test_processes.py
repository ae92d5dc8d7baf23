"""Processes are found by their mark, named by pid and start time, and ended for certain."""

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from suimon.lab import processes
from suimon.lab.error import LabError
from suimon.lab.processes import Process

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
LOCKED = """
import fcntl, os, pathlib, sys
from suimon.lab import processes
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
print(flush=True)
processes.run(["sleep", "600"], env=processes.environment(pathlib.Path(sys.argv[1])))
"""


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    child = processes.start(["sleep", "600"], tmp_path / "log", processes.environment(tmp_path))
    yield child
    child.kill()
    child.wait()


def test_a_marked_process_is_found_and_ended(sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    found = list(processes.marked(tmp_path))
    assert [process.pid for process in found] == [sleeper.pid]
    processes.end(found)
    assert not processes.alive(found[0])


def test_the_mark_of_another_lab_is_not_ours(sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    assert list(processes.marked(tmp_path.parent)) == []
    assert list(processes.marked(tmp_path / "lab")) == []


def test_who_gets_the_lock_of_a_killed_command_finds_what_it_was_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It is looked for in many places before it is found: it takes a while until it is executed.
    monkeypatch.setenv("PATH", os.pathsep.join([*["/-"] * 40_000, os.environ["PATH"]]))
    command = [sys.executable, "-c", LOCKED, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        starter.stdout.readline()
        children = Path(f"/proc/{starter.pid}/task/{starter.pid}/children")
        while not (begun := children.read_text().split()):
            assert starter.poll() is None
        starter.kill()
    fd = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    os.close(fd)
    found = list(processes.marked(tmp_path))
    processes.end(found)
    assert [str(process.pid) for process in found] == begun


def test_a_command_gets_no_files_but_its_standard_streams() -> None:
    with Path("/dev/null").open("w") as given:
        os.set_inheritable(given.fileno(), True)
        with pytest.raises(LabError, match="Bad file descriptor"):
            processes.run(["bash", "-c", f"echo >&{given.fileno()}"])


def test_a_reused_pid_is_another_process_and_is_spared(sleeper: subprocess.Popen[bytes]) -> None:
    found = processes.find(sleeper.pid)
    assert found is not None
    predecessor = Process(found.pid, found.started - 1)
    processes.end([predecessor])
    processes.kill(predecessor)
    assert processes.alive(found) and not processes.alive(predecessor)


def test_one_that_ignores_the_polite_signal_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        found = processes.find(child.pid)
        assert found is not None
        processes.end([found], patience_s=0.2)
        assert child.wait(timeout=5) == -9


def test_the_caller_and_those_above_it_are_spared() -> None:
    me = processes.find(os.getpid())
    assert me is not None and os.getppid() in processes.ancestors()
    processes.end([me])


def test_a_zombie_counts_as_gone(tmp_path: Path) -> None:
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert processes.find(child.pid) is None
    child.wait()


def test_what_the_kernel_has_no_process_of_counts_as_gone() -> None:
    """As of one that is being reaped: /proc still has it."""
    told, over = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: (told.set(), over.wait()))
    thread.start()
    try:
        assert told.wait(10)
        found = processes.find(thread.native_id or 0)
        assert found is not None
        processes.end([found])
    finally:
        over.set()
        thread.join()


def test_a_failed_command_says_what_it_said() -> None:
    with pytest.raises(LabError, match=r"`ip link show nothere` ended with 1: .*does not exist"):
        processes.run(["ip", "link", "show", "nothere"])


def test_a_missing_program_points_to_the_doctor() -> None:
    with pytest.raises(LabError, match="'no-such-program' is missing; `suimon doctor`"):
        processes.run(["no-such-program"])


def test_a_command_that_does_not_end_is_ended() -> None:
    with pytest.raises(LabError, match="did not end within"):
        processes.run(["sleep", "60"], timeout_s=0.1)
