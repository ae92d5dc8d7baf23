"""What a controller asks a host between the changes of its view, and what the host answers: frames, by their tags."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from suimon.model.counts import Activity
from suimon.model.findings import Direction

QUESTIONS_SINCE: Final = 2
"""The first schema whose speakers understand the frames `Question` and `CountDrops`: no other agent is sent one."""
LOOKS_SINCE: Final = 3
"""As above, of the frame `Look`."""
Act = Literal["trace", "expect", "send", "seen"]


class Question(msgspec.Struct, frozen=True, tag="question"):
    """What would the host's switch do with this packet? Answered by POST /hosts/v1/answer with the same id.

    It comes in by `entry` (`port/<id>`, `tunnel/<kind>`, `provider/<physnet>`, `nat/<router>`) with these header
    fields; `tracked` is what the connection tracker says of it each time that it is asked. It is an IP packet of `size`
    bytes.

    Or, by `act`, a probe of real: `expect` that it comes to the port `entry`, `send` it as if that port had, and: has
    it been `seen`? `nonce` is in it and tells it from all others.
    """

    id: str
    entry: str
    fields: dict[str, int]
    tracked: tuple[dict[str, int], ...] = ()
    size: int = 64
    act: Act = "trace"
    nonce: str = ""


class CountDrops(msgspec.Struct, frozen=True, tag="count_drops"):
    """How many packets of this port did the host's switch drop, and why? Answered as a `Question`, by `drops`."""

    id: str
    port_id: str


class Look(msgspec.Struct, frozen=True, tag="look"):
    """What does this port do now? Counted twice, `span_s` apart; answered as a `Question`, by `activity`.

    Counted are connections of the IP `protocol` (0: of any) to `l4_port` (0: to any) that the guest opens, or others
    open to it. With `drops`, what restrictions, limits and anti-spoofing drop as well: the datapath tells flows what
    they counted twice a second, so that it takes up to a second more.
    """

    id: str
    port_id: str
    direction: Direction = "egress"
    protocol: int = 0
    l4_port: int = 0
    span_s: float = 0.5
    drops: bool = False


class Traced(msgspec.Struct, frozen=True):
    """POST /hosts/v1/answer: to where it is sent (as `entry`, or `back`, `agent`), and the last stage that it met.

    `actions` are those of the datapath, in Open vSwitch's words; `error` says why there is no answer. `drops` are
    packets by reason (pipeline/drops.py), since the port's flows are in the switch. Of a probe that was seen, `sent` is
    the port.
    """

    id: str
    sent: tuple[str, ...] = ()
    stage: str = ""
    actions: str = ""
    error: str = ""
    drops: dict[str, int] = {}
    connections: tuple[int, int] | None = None
    """With `drops`: how many the port has, and the most that it may have. None: nothing is remembered of it."""
    activity: Activity | None = None


Asked = Question | CountDrops | Look
