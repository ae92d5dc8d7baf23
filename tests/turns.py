"""Which tests run beside which: fast ones and system tests mixed, then one by one those that need quiet."""

from collections.abc import Iterable
from enum import IntEnum
from typing import Final

SYSTEM: Final = "tests/system/"
ALONE: Final = frozenset(
    f"{SYSTEM}test_{name}.py" for name in ("gateways", "hitless", "hostile", "limits", "moves", "restarts")
)
"""They count lost packets, or how long nothing went: what a busy machine loses, too."""


class Turn(IntEnum):
    FAST = 0
    BESIDE = 1
    ALONE = 2


def turn(nodeid: str) -> Turn:
    """Of a test by its id, as pytest writes it."""
    if not nodeid.startswith(SYSTEM):
        return Turn.FAST
    return Turn.ALONE if nodeid.partition("::")[0] in ALONE else Turn.BESIDE


def in_turn(nodeids: Iterable[str]) -> dict[str, float]:
    """When each file's turn is, from 0 to 1, and 2 for those that are alone.

    System tests mostly wait, fast ones compute: spread evenly among each other they keep a machine busy, and what comes
    last is short.
    """
    files: dict[Turn, list[str]] = {each: [] for each in Turn}
    for nodeid in dict.fromkeys(nodeid.partition("::")[0] for nodeid in nodeids):
        files[turn(nodeid)].append(nodeid)
    spread = {Turn.BESIDE: 0.9, Turn.FAST: 1.0}
    mixed = {
        file: span * place / len(files[each]) for each, span in spread.items() for place, file in enumerate(files[each])
    }
    return mixed | dict.fromkeys(files[Turn.ALONE], 2.0)
