"""The controllers that the tests run against: which test wants which settings, and the database behind them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from tests.api.controller import Controller, started

PHYSICAL_NETWORK: Final = "physnet1"


class Setting(NamedTuple):
    """Options of `suimon serve` for the tests whose id matches `tests`; one run for each setting that has any."""

    name: str
    tests: re.Pattern[str]
    options: tuple[str, ...]


SETTINGS: Final = (
    Setting(
        "default",
        re.compile(""),
        (
            *("--physnets", f"public,{PHYSICAL_NETWORK}", "--vlan-ranges", f"{PHYSICAL_NETWORK}:100-999"),
            # Some classes make more routers than a project may have; those of groups are filled up by tests.
            *("--quotas", "router=-1"),
            # The tests make hundreds of users; what guessing their passwords costs is not what is measured.
            *("--password-cost", "10"),
        ),
    ),
)
"""A test goes to the first that matches."""


def by_setting(tests: Sequence[str]) -> dict[Setting, list[str]]:
    """Which tests to run with which setting."""
    found: dict[Setting, list[str]] = {}
    for test in tests:
        found.setdefault(next(setting for setting in SETTINGS if setting.tests.search(test)), []).append(test)
    return found


@contextmanager
def fresh(setting: Setting, database: str, folder: Path) -> Iterator[Controller]:
    """A controller with an empty store in `folder`; `database` is `sqlite` or `postgresql`."""
    with _database(database) as options, started(folder / "state", *setting.options, *options) as controller:
        yield controller


@contextmanager
def _database(kind: str) -> Iterator[tuple[str, ...]]:
    if kind == "sqlite":
        yield ()
        return
    from tests.postgresql import PrivateCluster

    with PrivateCluster() as cluster:
        yield ("--database", cluster.url())
