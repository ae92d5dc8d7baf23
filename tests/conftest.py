"""What holds for every test: system tests run last, and say so when they can't run at all."""

import os
import shutil

import pytest
from hypothesis import settings

# A slow machine is no fault: nothing in the suite is timed. Where CI is set, Hypothesis draws the same every time.
settings.register_profile("patient", settings(), deadline=None)
settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fast tests first. `make test` runs as root with Open vSwitch installed, so there nothing is skipped."""
    items.sort(key=lambda item: item.get_closest_marker("system") is not None)
    lacking = _lacking()
    for item in items:
        if lacking and item.get_closest_marker("system"):
            item.add_marker(pytest.mark.skip(reason=f"a system test needs {lacking}"))


def _lacking() -> str:
    if os.geteuid() != 0:
        return "root"
    return "" if shutil.which("ovs-vswitchd") else "Open vSwitch (`make test` installs it)"
