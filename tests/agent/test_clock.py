"""A host's clock may jump: whatever the agent waits for, gives out or backs off by, it counts in time that passes."""

import re
from pathlib import Path

import pytest

import suimon

WALL = re.compile(r"\btime\.time\b|\btime_ns\b|\bdatetime\.(now|utcnow|today)\b|\blocaltime\b|\bgmtime\b")
BY_THE_WALL = {"agent/clock.py", "agent/reporter.py", "agent/untold.py"}
"""A restriction ends at a time of day: by the controller, and by this host only until that has spoken. The controller
is told what time it is here, so that somebody sets it. What it was not told outlives the machine's own clock.
"""


@pytest.mark.parametrize("room", ["agent", "dataplane", "pipeline", "reconcile.py"])
def test_nothing_asks_what_time_it_is(room: str) -> None:
    place = Path(suimon.__file__).parent / room
    files = [place] if place.is_file() else sorted(place.rglob("*.py"))
    assert files
    asking = {str(file.relative_to(place.parent)) for file in files if WALL.search(file.read_text())}
    assert asking <= BY_THE_WALL
