"""What months came to, for billing: `/operations/v1/usage/months`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec
from starlette.responses import Response

from suimon.api.wire import Call, answer
from suimon.model.actor import Actor
from suimon.model.attributes import when
from suimon.model.errors import BadRequest, NotFound, Unavailable
from suimon.model.months import Month
from suimon.telemetry.meter.database import Trouble
from suimon.telemetry.meter.ledger import FIGURES
from suimon.telemetry.meter.meters import Meters
from suimon.telemetry.meter.months import RATED, Line, Statement

T = TypeVar("T")
_KINDS: Final = {
    "project": ("project_id",),
    "network": ("network_id", "project_id"),
    "port": ("port_id", "network_id", "project_id"),
}
"""By what a line is, and what it says of whose it is, in the order of which lines are."""


class UsageMonths:
    """The handlers. Tenants get their own project's lines."""

    def __init__(self, meters: Meters | None) -> None:
        self._meters = meters
        self._adding_up = asyncio.Lock()

    async def index(self, _call: Call, _actor: Actor) -> Response:
        """GET: the months that there is something of, the oldest first."""
        meters = self._metering()
        known = await _asked(meters.ask(lambda _: meters.months.known()))
        return answer({"months": [{"month": name, "closed": closed} for name, closed in known]})

    async def show(self, call: Call, actor: Actor, name: str) -> Response:
        """GET one, `by` project (unless said), network or port: a line of each. Of a month that is closed, the same
        bytes each time.
        """
        meters, month, asked = self._metering(), Month.named(name), dict(call.query())
        by = asked.pop("by", "project")
        if by not in _KINDS or asked:
            raise BadRequest(f"Ask by one of {', '.join(_KINDS)}.")
        found = await _asked(meters.ask(lambda _: meters.months.closed(month)))
        whose = None if actor.admin else actor.viewer
        if found is None:
            # A thread is busy for as long as that takes.
            if self._adding_up.locked():
                raise Unavailable("A month that is not closed is being added up already: ask again later.")
            async with self._adding_up:
                found = await _asked(meters.ask(lambda _: meters.months.so_far(month, whose)))
        if found is None:
            raise NotFound(f"Nothing was metered in {month.name}, or it is too early to tell.")
        lines = tuple(line for line in found.lines if whose in (None, line.whose.project_id))
        return answer({"month": _told(msgspec.structs.replace(found, lines=lines), by)})

    def _metering(self) -> Meters:
        if self._meters is None:
            raise Unavailable("This controller doesn't meter.")
        return self._meters


def _told(found: Statement, by: str) -> dict[str, Any]:
    ids = _KINDS[by]
    own = [line for line in found.lines if line.whose.kind == by]
    own.sort(key=lambda line: [getattr(line.whose, name) for name in ids])
    return {
        "month": found.month,
        "by": by,
        "closed": found.closed_s is not None,
        "closed_at": None if found.closed_s is None else _time(found.closed_s),
        "metered_since": _time(found.since_s),
        "metered_until": _time(found.until_s),
        "complete": found.complete,
        "lines": [_line(line, ids) for line in own],
    }


def _line(line: Line, ids: Sequence[str]) -> dict[str, Any]:
    whose = {name: getattr(line.whose, name) for name in ids}
    billed = {f"{name}_95_bps": bps for name, bps in zip(RATED, line.billed_bps, strict=True)}
    lasted = {"metered_s": line.metered_s, "late_s": line.late_s}
    return {**whose, **dict(zip(FIGURES, line.sums, strict=True)), **billed, **lasted}


async def _asked(question: Awaitable[T]) -> T:
    try:
        return await question
    except Trouble as error:
        raise Unavailable("The database of what was metered can't be read now.") from error


def _time(time_s: float) -> str:
    return when(datetime.fromtimestamp(time_s, UTC))
