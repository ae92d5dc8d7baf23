"""What was measured before and after a restriction, and what that says of it."""

import msgspec
import pytest

from suimon.response.senses import Rate
from suimon.response.verify import verify

LIMIT: dict[str, object] = {"kind": "rate_limit", "rate_kbps": 10_000}
PACKETS: dict[str, object] = {"kind": "packet_rate_limit", "rate_kpps": 10}
QUARANTINE: dict[str, object] = {"kind": "quarantine"}
BLOCK: dict[str, object] = {"kind": "port_block"}
with_ = msgspec.structs.replace
MUCH, LITTLE, NOTHING = Rate(90_000.0, 90.0), Rate(9_000.0, 9.0), Rate(0.0, 0.0)


@pytest.mark.parametrize(
    ("wanted", "before", "after", "goes_on", "bites"),
    [
        (LIMIT, MUCH, LITTLE, True, True),
        (LIMIT, None, MUCH, False, False),
        (PACKETS, MUCH, LITTLE, True, True),
        (PACKETS, LITTLE, MUCH, False, False),
        (QUARANTINE, MUCH, LITTLE, True, True),
        (QUARANTINE, MUCH, MUCH, False, False),
        (BLOCK, MUCH, MUCH, False, None),
        (BLOCK, MUCH, LITTLE, True, True),
        # Less, and nobody reports it: it may have stopped by itself. Who uses what he is left with has not.
        (QUARANTINE, MUCH, LITTLE, False, None),
        (LIMIT, MUCH, NOTHING, False, None),
        (LIMIT, MUCH, NOTHING, True, True),
        (LIMIT, MUCH, Rate(5_000.0, 5.0), False, True),
        # Who was not counted before, or sent nothing, can't have become less.
        (QUARANTINE, None, NOTHING, True, False),
        (QUARANTINE, NOTHING, NOTHING, True, False),
        (QUARANTINE, MUCH, None, False, None),
        # Nobody found anything: a person asked for it.
        (QUARANTINE, MUCH, LITTLE, None, None),
        (QUARANTINE, MUCH, MUCH, None, False),
        (LIMIT, MUCH, LITTLE, None, True),
        (BLOCK, None, None, None, None),
        (QUARANTINE, Rate(9.0, 0.009), Rate(9.0, 0.009), None, None),
    ],
)
def test_it_bites(
    wanted: dict[str, object], before: Rate | None, after: Rate | None, goes_on: bool | None, bites: bool | None
) -> None:
    earlier, later = ([one] if one else [] for one in (before, after))
    assert verify(wanted, earlier, later, goes_on=goes_on).bites is bites


@pytest.mark.parametrize(
    ("wanted", "before", "after", "bites"),
    [
        # Of each port, and each way.
        (LIMIT, [], [Rate(9_700.0, 1.0)] * 3, True),
        (LIMIT, [], [LITTLE, NOTHING, MUCH], False),
        (PACKETS, [], [Rate(0.0, 9.7)] * 3, True),
        # What a trunk's subports get isn't their parent's: packets are limited of each, bits of the interface.
        (PACKETS, [], [Rate(0.0, 30.0, shared=True)], None),
        (PACKETS, [], [Rate(0.0, 30.0, shared=True), Rate(0.0, 30.0)], False),
        (LIMIT, [], [with_(MUCH, shared=True)], False),
        # What is sent is counted before any of it is dropped; what is got, behind.
        (LIMIT, [], [with_(MUCH, direction="egress"), LITTLE], None),
        (LIMIT, [], [with_(MUCH, direction="egress"), MUCH], False),
        (LIMIT, [], [with_(LITTLE, direction="egress")], True),
        (QUARANTINE, [with_(MUCH, direction="egress"), NOTHING], [with_(MUCH, direction="egress"), NOTHING], None),
        (QUARANTINE, [with_(MUCH, direction="egress"), MUCH], [with_(MUCH, direction="egress"), MUCH], False),
        (QUARANTINE, [LITTLE, MUCH], [LITTLE, LITTLE], None),
    ],
)
def test_it_bites_each(wanted: dict[str, object], before: list[Rate], after: list[Rate], bites: bool | None) -> None:
    assert verify(wanted, before, after, goes_on=False).bites is bites
