"""Which tests run beside which: those that need quiet one by one, and all the others mixed.

While it is quiet the processors have little to do. What only computes does that then, in spare time (`tests/spare.py`).
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import Final

SYSTEM: Final = "tests/system/"
ALONE: Final = frozenset(
    f"{SYSTEM}test_{name}.py" for name in ("gateways", "hitless", "hostile", "limits", "moves", "restarts", "takeovers")
)
"""They count lost packets, or how long nothing went: what a busy machine loses, too."""
CALM: Final = tuple(
    f"tests/{name}"
    for name in (
        "api/",
        "clients/",
        "detection/",
        "enforcement/",
        "fuzz/",
        "model/",
        "mutants/",
        "oracle/",
        "pipeline/",
        "policy/",
        "resources/",
        "telemetry/test_packing.py",
        "telemetry/test_summaries.py",
    )
)
"""They only compute, or wait for programs of their own as long as these take: nothing of theirs serves other tests, and
nothing has to come in time.
"""
TIMELY: Final = frozenset(
    f"tests/api/test_{name}.py"
    for name in ("flow_records", "hostile", "identity_keystone", "policy", "races", "serve", "wire")
)
"""Of those folders, what does serve, or waits for no longer than so long."""


class Turn(IntEnum):
    ALONE = 0
    CALM = 1
    FAST = 2
    BESIDE = 3


def turn(nodeid: str) -> Turn:
    """Of a test by its id, as pytest writes it."""
    if nodeid.startswith(SYSTEM):
        return Turn.ALONE if nodeid.partition("::")[0] in ALONE else Turn.BESIDE
    return Turn.CALM if nodeid.startswith(CALM) and nodeid.partition("::")[0] not in TIMELY else Turn.FAST


def in_turn(nodeids: Iterable[str]) -> dict[str, float]:
    """When each file's turn is: 0 for those that are alone, 1 for calm ones, and from 2 to 3 the others.

    System tests mostly wait, fast ones compute: spread evenly among each other they keep a machine busy, and what comes
    last is short.
    """
    files: dict[Turn, list[str]] = {each: [] for each in Turn}
    for nodeid in dict.fromkeys(nodeid.partition("::")[0] for nodeid in nodeids):
        files[turn(nodeid)].append(nodeid)
    spread = {Turn.BESIDE: 0.9, Turn.FAST: 1.0}
    mixed = {
        file: 2 + span * place / len(files[each])
        for each, span in spread.items()
        for place, file in enumerate(files[each])
    }
    return mixed | {file: float(each) for each in (Turn.ALONE, Turn.CALM) for file in files[each]}
