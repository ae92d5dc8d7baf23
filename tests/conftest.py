"""What holds for every test: who runs beside whom, and that a system test says so when it can't run at all."""

import fcntl
import os
import shutil
import signal
from collections.abc import Generator
from typing import Any, NoReturn

import pytest
from hypothesis import settings
from xdist.scheduler.loadfile import LoadFileScheduling
from xdist.workermanage import NodeManager

from tests.turns import Turn, in_turn, turn

# A slow machine is no fault: nothing in the suite is timed. Where CI is set, Hypothesis draws the same every time.
settings.register_profile("patient", settings(), deadline=None)
settings.load_profile("patient")


def pytest_configure() -> None:
    """`timeout` and CI end tests by SIGTERM: what these started is taken down then, too, as it is at Ctrl-C."""
    signal.signal(signal.SIGTERM, _interrupt)
    NodeManager.EXIT_TIMEOUT = 25  # In seconds: a lab takes longer to go than the ten that there are.


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In the order of their turns. `make test` runs as root with Open vSwitch installed: there nothing is skipped."""
    place = in_turn(item.nodeid for item in items)
    items.sort(key=lambda item: place[item.nodeid.partition("::")[0]])
    lacking = _lacking()
    for item in items:
        if lacking and turn(item.nodeid) != Turn.FAST:
            item.add_marker(pytest.mark.skip(reason=f"a system test needs {lacking}"))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """Several processes share the files; one of them then runs those that are alone, in order."""
    config.option.loadscopereorder = False
    return _AloneLast(config, log)


class _AloneLast(LoadFileScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return "alone" if turn(nodeid) == Turn.ALONE else super()._split_scope(nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """The last of the other processes may still be at work when the first test that is alone begins: it waits."""
    lock = os.open(item.config.rootpath, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX if turn(item.nodeid) == Turn.ALONE else fcntl.LOCK_SH)
        return (yield)
    finally:
        # Not only closed: a process that the test left behind may have it, too.
        fcntl.flock(lock, fcntl.LOCK_UN)
        os.close(lock)


def _interrupt(number: int, frame: object) -> NoReturn:
    # Once: a second one would end the taking down.
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _lacking() -> str:
    if os.geteuid() != 0:
        return "root"
    return "" if shutil.which("ovs-vswitchd") else "Open vSwitch (`make test` installs it)"
