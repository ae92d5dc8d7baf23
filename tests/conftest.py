"""What holds for every test: system tests run last and alone, and say so when they can't run at all."""

import os
import shutil
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler.loadfile import LoadFileScheduling

# A slow machine is no fault: nothing in the suite is timed. Where CI is set, Hypothesis draws the same every time.
settings.register_profile("patient", settings(), deadline=None)
settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fast tests first. `make test` runs as root with Open vSwitch installed, so there nothing is skipped."""
    items.sort(key=_is_system_test)
    lacking = _lacking()
    for item in items:
        if lacking and _is_system_test(item):
            item.add_marker(pytest.mark.skip(reason=f"a system test needs {lacking}"))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """Several processes share the files of fast tests; one of them then runs all system tests, in order."""
    config.option.loadscopereorder = False
    return _SystemLast(config, log)


def _is_system_test(item: pytest.Item) -> bool:
    return item.nodeid.startswith("tests/system/")


class _SystemLast(LoadFileScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return "system" if nodeid.startswith("tests/system/") else super()._split_scope(nodeid)


def _lacking() -> str:
    if os.geteuid() != 0:
        return "root"
    return "" if shutil.which("ovs-vswitchd") else "Open vSwitch (`make test` installs it)"
