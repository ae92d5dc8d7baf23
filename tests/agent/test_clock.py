"""A host's clock may jump: whatever the agent waits for, gives out or backs off by, it counts in time that passes."""

import re
from pathlib import Path

import pytest

import suimon

WALL = re.compile(r"\btime\.time\b|\btime_ns\b|\bdatetime\b|\blocaltime\b|\bgmtime\b")


@pytest.mark.parametrize("room", ["agent", "dataplane", "pipeline", "reconcile.py"])
def test_nothing_asks_what_time_it_is(room: str) -> None:
    place = Path(suimon.__file__).parent / room
    files = [place] if place.is_file() else sorted(place.rglob("*.py"))
    assert files
    assert [str(file) for file in files if WALL.search(file.read_text())] == []
