"""How long tests wait for what must come: `SUIMON_TEST_PATIENCE` times as long where all is slow, as when emulated."""

import os

import pytest

FACTOR = float(os.environ.get("SUIMON_TEST_PATIENCE", "1"))


def patient(limit_s: float) -> float:
    """A limit in seconds, for this machine."""
    return limit_s * FACTOR


timed = pytest.mark.skipif(FACTOR > 1, reason="durations mean nothing on so slow a machine")
"""For a test that asserts how long something takes, or how much of the processor."""
