"""What tables held at times past that the store has no history of: the time itself, and what collectors know."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec

from suimon.enforcement.clock import TICK_S, minute_of
from suimon.enforcement.flows import PEERS, SERVICES, WINDOW_S, Said, Talks
from suimon.model.attributes import when
from suimon.model.collectors import MOST_TALK
from suimon.model.errors import Unavailable
from suimon.policy.changes import FactChange
from suimon.policy.facts import CLOCK, OURS

_AT_ONCE: Final = 12
"""Windows of one question: an hour."""
_LEAST: Final = 500
"""Rows of a window, however many there are."""
Span = tuple[datetime, datetime]
Table = tuple[str, str]


class Timed(NamedTuple):
    """What tables hold from then on."""

    at: datetime
    changes: tuple[FactChange, ...]


class TimedLimits(msgspec.Struct, frozen=True):
    """What asking collectors may take: rows in all, and seconds."""

    most_rows: int = 400_000
    most_s: float = 30.0


OF_CLOUD: Final = TimedLimits()
OF_PROJECT: Final = TimedLimits(most_rows=40_000, most_s=10.0)


class Known(NamedTuple):
    """In order, the first of each table at or before the beginning; and what could not be had."""

    timed: list[Timed]
    missing: list[str]


def ticks(span: Span) -> Iterator[Timed]:
    """The clock's."""
    since_s, until_s = (at.timestamp() for at in span)
    at_s = since_s // TICK_S * TICK_S
    while at_s <= until_s:
        row = minute_of(at_s)
        yield Timed(datetime.fromtimestamp(at_s, UTC), (FactChange(CLOCK, "now", put=(row,), whole=True),))
        at_s += TICK_S


async def flows(talks: Talks, tables: Collection[Table], span: Span, project_id: str, limits: TimedLimits) -> Known:
    """Who talked, as it would have been read at each end of a window. Of what is missing, the rows before it stand."""
    names = [name for name in (SERVICES, PEERS) if (OURS, name) in tables]
    if not names:
        return Known([], [])
    begin_s, end_s = (int(at.timestamp()) // WINDOW_S * WINDOW_S for at in span)
    many = (end_s - begin_s) // WINDOW_S + 1
    most = min(max(limits.most_rows // (many * len(names)), _LEAST), MOST_TALK)
    found: list[Timed] = []
    asked_s, rows, left_out, reason = begin_s, 0, 0, ""
    try:
        async with asyncio.timeout(limits.most_s):
            while asked_s <= end_s and rows <= limits.most_rows:
                asking = min(_AT_ONCE, (end_s - asked_s) // WINDOW_S + 1)
                said = await talks.windows(asked_s - WINDOW_S, asking, most, project_id)
                found += [one for one in _timed(asked_s, said, names) if one.changes]
                rows = sum(len(change.put) for one in found for change in one.changes)
                left_out += said.left_out
                asked_s += asking * WINDOW_S
    except Unavailable as error:
        reason = error.message.removesuffix(".")
    except TimeoutError:
        reason = f"asking takes longer than {limits.most_s:g} s"
    called = " and ".join(f"{OURS}:{name}" for name in names)
    missing = []
    if asked_s <= end_s:
        reason = reason or f"there are more than {limits.most_rows} rows"
        missing.append(f"{called} from {_when(asked_s)} on: {reason}")
    if asked_s > begin_s and (not found or found[0].at.timestamp() > begin_s):
        until = f" until {_when(round(found[0].at.timestamp()))}" if found else ""
        missing.append(f"{called}{until}: a collector keeps nothing so old")
    if left_out:
        missing.append(f"{called}: {left_out} services more than there is room for")
    return Known(found, missing)


def _timed(first_s: int, said: Said, names: Sequence[str]) -> Iterator[Timed]:
    """One for each window, the first of which ends at `first_s`; without changes where collectors don't reach back."""
    for place, window in enumerate(said.windows):
        until_s = first_s + place * WINDOW_S
        known = said.since_s is not None and said.since_s <= until_s - WINDOW_S
        changes = [FactChange(OURS, name, put=tuple(window[name]), whole=True) for name in names if known]
        yield Timed(datetime.fromtimestamp(until_s, UTC), tuple(changes))


def _when(at_s: int) -> str:
    return when(datetime.fromtimestamp(at_s, UTC))
