"""The trail of hosts: what drifted there and who repaired it, and which orphans were removed. Only ever added to, until
it is too old; it outlives the host.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from sqlalchemy import and_, bindparam, delete, func, select

from suimon.model.actor import Actor
from suimon.model.errors import Forbidden, NotFound
from suimon.model.host_events import AGENT, EventKind, HostEvent
from suimon.model.things import Host
from suimon.model.view import Drift
from suimon.store.columns import time_text
from suimon.store.tables import HOST_EVENTS, KEPT
from suimon.store.tx import Tx

MOST_KEPT: Final = 10_000
"""Of one host: one that has gone mad fills no database."""
_LONGEST_ID: Final = 64
_LATEST: Final = "9999"
"""Behind all times, as they are kept."""
_OF_HOST: Final = HOST_EVENTS.c.host == bindparam("host")
_KNOWN: Final = select(HOST_EVENTS.c.id).where(_OF_HOST, HOST_EVENTS.c.id.in_(bindparam("ids", expanding=True)))
_COUNT: Final = select(func.count()).select_from(HOST_EVENTS).where(_OF_HOST)
_NEWEST_FIRST: Final = HOST_EVENTS.c.at.desc(), HOST_EVENTS.c.id
_SURPLUS: Final = delete(HOST_EVENTS).where(
    _OF_HOST,
    HOST_EVENTS.c.id.in_(
        select(HOST_EVENTS.c.id).where(_OF_HOST).order_by(HOST_EVENTS.c.at, HOST_EVENTS.c.id).limit(bindparam("most"))
    ),
)
_FORGET: Final = delete(HOST_EVENTS).where(HOST_EVENTS.c.at < bindparam("before"))
_ASKED: Final = (
    select(*HOST_EVENTS.columns)
    .where(_OF_HOST)
    .where(and_(HOST_EVENTS.c.at >= bindparam("since"), HOST_EVENTS.c.at < bindparam("until")))
    .where(HOST_EVENTS.c.kind.in_(bindparam("kinds", expanding=True)))
    .order_by(*_NEWEST_FIRST)
    .limit(bindparam("most"))
)


class Asked(msgspec.Struct, frozen=True):
    """From when (inclusive) until when (exclusive; None: there is no end), which kinds, and how many at most."""

    since: datetime | None
    until: datetime | None
    kinds: Sequence[EventKind]
    most: int


def note_events(tx: Tx, host: str, drifts: Sequence[Drift]) -> None:
    """What a host's agent told of itself, its words being plain and short: what is known already is known once.

    One without an id, of an agent that gives none, is new each time that it is told.
    """
    told = {each.id: each for each in (_event(tx.now, host, drift) for drift in drifts)}
    known = {row[0] for row in tx.rows(_KNOWN, {"host": host, "ids": sorted(told)})} if told else set()
    tx.insert_many([each for id_, each in told.items() if id_ not in known])
    if (surplus := int(tx.rows(_COUNT, {"host": host})[0][0]) - MOST_KEPT) > 0:
        tx.run(_SURPLUS, {"host": host, "most": surplus})


def list_events(tx: Tx, actor: Actor, host: str, asked: Asked) -> list[HostEvent]:
    """The newest first, also of a host that is none any more. Raises Forbidden, NotFound."""
    if not actor.admin:
        raise Forbidden("Only operators may see what happened on hosts.")
    values = {
        "host": host,
        "since": time_text(asked.since) if asked.since else "",
        "until": time_text(asked.until) if asked.until else _LATEST,
        "kinds": list(asked.kinds),
        "most": asked.most,
    }
    found = tx.rows(_ASKED, values)
    if not found and tx.get(Host, host) is None and not tx.rows(_COUNT, {"host": host})[0][0]:
        raise NotFound(f"Host {host} could not be found.", "HostNotFound")
    return [KEPT[HostEvent].codec.decode(row) for row in found]


def forget(tx: Tx, before: datetime) -> None:
    """Take away what was before that time."""
    tx.run(_FORGET, {"before": time_text(before)})


def _event(now: datetime, host: str, told: Drift) -> HostEvent:
    return HostEvent(
        host=host,
        id=told.id[:_LONGEST_ID] or secrets.token_hex(16),
        at=now - timedelta(seconds=told.age_s),
        kind=told.kind,
        author=told.by or AGENT,
        owner=told.owner,
        missing=told.missing,
        changed=told.changed,
        extra=told.extra,
        example=told.example,
        repaired=told.repaired,
        reason=told.reason,
    )
