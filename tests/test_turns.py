"""Tests that need quiet have it: on several processes, too, nothing but calm ones in spare time runs meanwhile."""

import shutil
import subprocess
import sys
import time
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

import pytest

from tests.patience import patient
from tests.quiet import Quiet
from tests.turns import ALONE, CALM, SYSTEM, TIMELY, Turn, in_turn, turn

ROOT = Path(__file__).resolve().parent.parent
HARNESS = ("conftest.py", "quiet.py", "spare.py", "turns.py")
TEST = """
import time
from pathlib import Path

def note(what):
    spare = "suimon-spare" in Path("/proc/self/cgroup").read_text()
    with Path("notes").open("a") as file:
        file.write(f"{Path(__file__).name} {what} {spare}\\n")

def test_it():
    note("begins")
    time.sleep(0.1)  # As long as others may begin meanwhile.
    note("ends")

test_again = test_it
"""
MEETING = """
def test_meets():
    note("begins")
    deadline = time.monotonic() + 60
    while "test_calm.py begins True" not in Path("notes").read_text():
        assert time.monotonic() < deadline, "calm ones wait, too"
        time.sleep(0.02)
    note("ends")
"""
COMING = """
from tests.quiet import Quiet

def test_awaits_the_demand_of_quiet():
    deadline, quiet = time.monotonic() + 60, Quiet(Path())
    while not quiet.demanded:
        assert time.monotonic() < deadline, "nobody demands it"
        time.sleep(0.02)

"""
NO_SPARE_TIME = 75


def test_who_is_named_is_there() -> None:
    assert [path for path in (*ALONE, *CALM, *TIMELY) if not (ROOT / path).exists()] == []
    assert all(path.startswith(CALM) for path in TIMELY), "whoever is in no calm folder needs no exception"


@pytest.mark.parametrize(
    ("nodeid", "expected"),
    [
        ("tests/test_turns.py::test_turns", Turn.FAST),
        ("tests/cli/test_turns.py::test_x[tests/model/]", Turn.FAST),
        ("tests/api/test_serve.py::test_x", Turn.FAST),
        ("tests/api/test_views.py::test_x", Turn.CALM),
        ("tests/model/test_rules.py::test_x", Turn.CALM),
        ("tests/clients/test_automation.py::test_x", Turn.CALM),
        ("tests/telemetry/test_packing.py::test_x", Turn.CALM),
        ("tests/telemetry/test_history.py::test_x", Turn.FAST),
        (f"{SYSTEM}test_agent.py::test_x[tests/system/test_limits.py]", Turn.BESIDE),
        (f"{SYSTEM}test_limits.py::test_x", Turn.ALONE),
    ],
)
def test_turns(nodeid: str, expected: Turn) -> None:
    assert turn(nodeid) == expected


def test_system_tests_are_spread_among_fast_ones() -> None:
    fast, beside = [f"tests/test_{n}.py" for n in range(6)], [f"{SYSTEM}test_{n}.py" for n in range(2)]
    alone, calm = f"{SYSTEM}test_limits.py", "tests/model/test_rules.py"
    place = in_turn(f"{file}::test_x[tests/y::z]" for file in (*beside, *fast, calm, alone))
    ordered = sorted(place, key=lambda file: place[file])
    assert ordered == [alone, calm, beside[0], *fast[:3], beside[1], *fast[3:]]


def test_who_demands_quiet_comes_before_those_who_come_later(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    early, alone, late = (Quiet(tmp_path) for _ in range(3))
    early.forgo()
    came: SimpleQueue[str] = SimpleQueue()
    first = Thread(target=lambda: (alone.demand(), came.put("alone")), daemon=True)
    first.start()
    deadline = time.monotonic() + patient(20)
    while not late.demanded:
        assert time.monotonic() < deadline, "nobody demands quiet"
        time.sleep(0.01)
    second = Thread(target=lambda: (late.forgo(), came.put("late")), daemon=True)
    second.start()
    early.done()
    assert came.get(timeout=patient(20)) == "alone"
    alone.done()
    assert came.get(timeout=patient(20)) == "late"


def test_nothing_runs_beside_those_that_are_alone_but_calm_ones_in_spare_time(tmp_path: Path) -> None:
    files = [f"{SYSTEM}test_{name}.py" for name in ("agent", "lab", "limits", "moves")]
    files += ["tests/test_fast.py", "tests/model/test_calm.py"]
    for path in files:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(TEST)
    for name in HARNESS:
        shutil.copy(ROOT / "tests" / name, tmp_path / "tests")
    command = [sys.executable, "-m", "tests.spare", tmp_path.name, "true"]
    spare_time = subprocess.run(command, cwd=ROOT, timeout=60, check=False).returncode != NO_SPARE_TIME
    if spare_time:
        (tmp_path / SYSTEM / "test_limits.py").write_text(TEST + MEETING)
        (tmp_path / "tests/model/test_calm.py").write_text(TEST.replace("def test_it", COMING + "def test_it"))
    options = ["-q", "--numprocesses=2", "--import-mode=importlib", "-p", "no:cacheprovider", "-o", "pythonpath=."]
    command = [sys.executable, "-m", "pytest", *options]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False).stdout
    assert f"{14 if spare_time else 12} passed" in said, said
    running: dict[str, str] = {}
    for line in (tmp_path / "notes").read_text().splitlines():
        file, what, spare = line.split()
        if what == "ends":
            del running[file]
            continue
        running[file] = spare
        if running.keys() & {"test_limits.py", "test_moves.py"}:
            others = running.keys() - {"test_limits.py", "test_moves.py"}
            assert len(running) == 1 or {running[other] for other in others} == {"True"}, running
        assert spare == "False" or file == "test_calm.py", line
