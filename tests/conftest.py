"""What holds for every test: who runs beside whom, and that a system test says so when it can't run at all."""

import gc
import os
import shutil
import signal
from collections.abc import Callable, Generator
from typing import Any, NoReturn

import pytest
import structlog
from hypothesis import HealthCheck, settings
from xdist.scheduler.loadfile import LoadFileScheduling
from xdist.workermanage import NodeManager

from tests.quiet import Quiet
from tests.spare import Spare
from tests.turns import Turn, in_turn, turn

# A slow machine is no fault: nothing in the suite is timed. Where CI is set, Hypothesis draws the same every time.
settings.register_profile("patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

_QUIET = pytest.StashKey[Quiet]()
_SPARE = pytest.StashKey[Spare]()


def pytest_configure(config: pytest.Config) -> None:
    """`timeout` and CI end tests by SIGTERM: what these started is taken down then, too, as it is at Ctrl-C."""
    signal.signal(signal.SIGTERM, _interrupt)
    structlog.configure = _uncached(structlog.configure)
    config.stash[_QUIET], config.stash[_SPARE] = Quiet(config.rootpath), Spare(str(os.getppid()))
    NodeManager.EXIT_TIMEOUT = 25  # In seconds: a lab takes longer to go than the ten that there are.


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[_SPARE].leave()


def pytest_collection() -> None:
    """What is collected stays: to look through it for garbage, now and later, is a fifth of what tests compute."""
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In the order of their turns. `make test` runs as root with Open vSwitch installed: there nothing is skipped."""
    place = in_turn(item.nodeid for item in items)
    items.sort(key=lambda item: place[item.nodeid.partition("::")[0]])
    lacking = _lacking()
    for item in items:
        if lacking and turn(item.nodeid) in (Turn.ALONE, Turn.BESIDE):
            item.add_marker(pytest.mark.skip(reason=f"a system test needs {lacking}"))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """Several processes share the files; one of them begins with those that are alone, in order."""
    config.option.loadscopereorder = False
    return _AloneTogether(config, log)


class _AloneTogether(LoadFileScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return "alone" if turn(nodeid) == Turn.ALONE else super()._split_scope(nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """Beside tests that are alone, from the first of them to the last, is nothing but calm ones in spare time."""
    quiet, spare, now = item.config.stash[_QUIET], item.config.stash[_SPARE], turn(item.nodeid)
    if now == Turn.ALONE:
        quiet.demand()
    elif not (now == Turn.CALM and quiet.demanded and spare.enter()):
        spare.leave()
        quiet.forgo()
    try:
        return (yield)
    finally:
        if now != Turn.ALONE:
            quiet.done()
        elif nextitem is None or turn(nextitem.nodeid) != Turn.ALONE:
            spare.end()
            quiet.done()


def pytest_runtest_teardown() -> None:
    """What a daemon run in this process made of logs ends with its test."""
    structlog.reset_defaults()


def _uncached(configure: Callable[..., None]) -> Callable[..., None]:
    """A logger that keeps the configuration of its first use is deaf to `capture_logs` from the next one on."""
    return lambda **options: configure(**options | {"cache_logger_on_first_use": False})


def _interrupt(number: int, frame: object) -> NoReturn:
    # Once: a second one would end the taking down.
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _lacking() -> str:
    if os.geteuid() != 0:
        return "root"
    return "" if shutil.which("ovs-vswitchd") else "Open vSwitch (`make test` installs it)"
