"""Tests that need quiet have it: on several processes, too, nothing else runs meanwhile."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.turns import ALONE, SYSTEM, Turn, in_turn, turn

ROOT = Path(__file__).resolve().parent.parent
TEST = """
import time
from pathlib import Path

def test_it():
    for what in ("begins", "ends"):
        with Path("notes").open("a") as file:
            file.write(f"{Path(__file__).name} {what}\\n")
        time.sleep(0.1)  # As long as others may begin meanwhile.

test_again = test_it
"""


def test_who_is_named_is_there() -> None:
    assert sorted(ALONE) == sorted(path for path in ALONE if (ROOT / path).is_file())


@pytest.mark.parametrize(
    ("nodeid", "expected"),
    [
        ("tests/test_turns.py::test_turns", Turn.FAST),
        (f"{SYSTEM}test_agent.py::test_x[tests/system/test_limits.py]", Turn.BESIDE),
        (f"{SYSTEM}test_limits.py::test_x", Turn.ALONE),
    ],
)
def test_turns(nodeid: str, expected: Turn) -> None:
    assert turn(nodeid) == expected


def test_system_tests_are_spread_among_fast_ones() -> None:
    fast, beside = [f"tests/test_{n}.py" for n in range(6)], [f"{SYSTEM}test_{n}.py" for n in range(2)]
    alone = f"{SYSTEM}test_limits.py"
    place = in_turn(f"{file}::test_x[tests/y::z]" for file in (alone, *beside, *fast))
    ordered = sorted(place, key=lambda file: place[file])
    assert ordered == [beside[0], *fast[:3], beside[1], *fast[3:], alone]


def test_nothing_runs_beside_those_that_are_alone(tmp_path: Path) -> None:
    (tmp_path / SYSTEM).mkdir(parents=True)
    for name in ("conftest.py", "turns.py"):
        shutil.copy(ROOT / "tests" / name, tmp_path / "tests")
    for path in ("tests/test_fast.py", *(f"{SYSTEM}test_{name}.py" for name in ("agent", "lab", "limits", "moves"))):
        (tmp_path / path).write_text(TEST)
    options = ["-q", "--numprocesses=2", "--import-mode=importlib", "-p", "no:cacheprovider", "-o", "pythonpath=."]
    command = [sys.executable, "-m", "pytest", *options]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False).stdout
    assert "10 passed" in said, said
    running: set[str] = set()
    for line in (tmp_path / "notes").read_text().splitlines():
        file, what = line.split()
        if what == "begins":
            running.add(file)
            assert len(running) == 1 or not running & {"test_limits.py", "test_moves.py"}, running
        else:
            running.remove(file)
