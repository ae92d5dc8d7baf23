"""Which tests run beside which: fast ones, then system tests side by side, then one by one those that need quiet."""

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
