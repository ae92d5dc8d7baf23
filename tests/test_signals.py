"""Tests that are ended by SIGTERM, as `timeout` and CI end them, take down what they started."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_S = 60.0
TEST = """
import atexit
import socket
from pathlib import Path

import pytest

here = Path(__file__)

@pytest.fixture(scope="module")
def started():
    up, kept = here.with_suffix(".up"), here.with_suffix(".kept")
    up.touch()
    kept.touch()
    atexit.register(kept.unlink)
    yield
    up.unlink()

def test_that_waits(started):
    with socket.socket(socket.AF_UNIX) as told:
        told.connect("begun")
        told.recv(1)
"""


@pytest.mark.parametrize("processes", [0, 2])
def test_nothing_is_left_of_tests_that_were_ended(tmp_path: Path, processes: int) -> None:
    (tmp_path / "tests").mkdir()
    for name in ("conftest.py", "quiet.py", "spare.py", "turns.py"):
        shutil.copy(ROOT / "tests" / name, tmp_path / "tests")
    files = [tmp_path / "tests" / f"test_{number}.py" for number in range(max(processes, 1))]
    for file in files:
        file.write_text(TEST)
    options = ["-q", f"--numprocesses={processes}", "--import-mode=importlib", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options, "-o", "pythonpath=."]
    with socket.socket(socket.AF_UNIX) as begun:
        begun.settimeout(PATIENCE_S)
        begun.bind(os.path.relpath(tmp_path / "begun"))  # A whole path would be too long for one.
        begun.listen()
        running = subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        waiting = [begun.accept()[0] for _ in files]
        assert sorted(tmp_path.rglob("*.up")) == [file.with_suffix(".up") for file in files]
        os.killpg(running.pid, signal.SIGTERM)
        said = running.communicate(timeout=PATIENCE_S)[0].decode()
        for each in waiting:
            each.close()
    assert running.returncode != 0 and "Interrupt" in said, said
    assert [*tmp_path.rglob("*.up"), *tmp_path.rglob("*.kept")] == [], said
