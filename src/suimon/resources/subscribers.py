"""Who is told of incidents, and what they have not been told yet.

What is to be told is written in the transaction that it happened in, so that no restart loses it; whoever doesn't
listen for long loses the oldest.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

import msgspec
from sqlalchemy import bindparam, delete, func, select

from suimon.model.actor import Actor
from suimon.model.errors import BadRequest, Conflict, Forbidden, NotFound
from suimon.model.incidents import Delivery, Entry, Incident, Subscriber, linked
from suimon.resources.ids import new_id
from suimon.store.columns import time_text
from suimon.store.tables import DELIVERIES, KEPT
from suimon.store.tx import Tx

MOST_DELIVERIES: Final = 10_000
"""That wait; of more the oldest are lost."""
_MOST_SUBSCRIBERS: Final = 5
"""Of one project, or of the operators."""
_SYSLOG: Final = ("syslog+udp", "syslog+tcp", "syslog+unix")
_COUNT: Final = select(func.count()).select_from(DELIVERIES)
_OLDEST: Final = select(DELIVERIES.c.id).order_by(DELIVERIES.c.made_at, DELIVERIES.c.id).limit(bindparam("most"))
_FORGET: Final = delete(DELIVERIES).where(DELIVERIES.c.id.in_(bindparam("ids", expanding=True)))
_DUE: Final = (
    select(*DELIVERIES.columns)
    .where(DELIVERIES.c.next_at <= bindparam("now"))
    .order_by(DELIVERIES.c.next_at, DELIVERIES.c.id)
    .limit(bindparam("most"))
)


def add_subscriber(tx: Tx, actor: Actor, url: str, secret: str) -> Subscriber:
    """An operator subscribes to everything, others to what is about their project. The secret signs what is sent.

    Raises Forbidden, BadRequest, and Conflict when there are enough.
    """
    _require_member(actor)
    project_id = None if actor.admin else actor.project_id
    _check(url, operator=actor.admin)
    if len(tx.select(Subscriber, {"project_id": project_id})) >= _MOST_SUBSCRIBERS:
        raise Conflict(f"At most {_MOST_SUBSCRIBERS} subscribers: remove one first.")
    made = Subscriber(id=new_id(), project_id=project_id, url=url, secret=secret, made_at=tx.now, made_by=actor.user_id)
    tx.insert(made)
    return made


def list_subscribers(tx: Tx, actor: Actor) -> list[Subscriber]:
    """Those of everybody for operators, else the project's."""
    where = {} if actor.admin else {"project_id": actor.viewer}
    return tx.select(Subscriber, where, order=("made_at", "id"))


def remove_subscriber(tx: Tx, actor: Actor, id_: str) -> None:
    """With all that it has not been told. Raises NotFound, Forbidden."""
    found = tx.get(Subscriber, id_)
    if found is None or not (actor.admin or found.project_id == actor.project_id):
        raise NotFound(f"Subscriber {id_} could not be found.")
    _require_member(actor)
    tx.delete(found)


def tell(tx: Tx, incident: Incident, entries: Sequence[Entry]) -> None:
    """To operators' subscribers all of it, to a project's its own half."""
    listening = tx.select(Subscriber, {"project_id": None})
    if incident.project_id:
        listening += tx.select(Subscriber, {"project_id": incident.project_id})
    made = [
        Delivery(
            id=f"{entry.incident_id}/{entry.number}/{one.id}",
            subscriber_id=one.id,
            made_at=tx.now,
            next_at=tx.now,
            body=_body(incident, entry, tx.settings.runbooks_url),
        )
        for entry in entries
        for one in listening
        if one.project_id in (None, entry.project_id)
    ]
    _keep(tx, made)


def call(tx: Tx, actor: Actor, url: str, text: str) -> str:
    """Tell a text to the operators' subscriber at this URL; by which id. Raises NotFound when none is registered."""
    found = tx.select(Subscriber, {"project_id": None, "url": url}, limit=1)
    if not found:
        raise NotFound(f"No subscriber of the operators has the URL {url[:255]}.")
    id_ = new_id()
    told = {"id": id_, "kind": "call", "at": tx.now, "words": text, "rule": actor.user_id}
    body = msgspec.json.encode(told).decode()
    _keep(tx, [Delivery(id=id_, subscriber_id=found[0].id, made_at=tx.now, next_at=tx.now, body=body)])
    return id_


def due(tx: Tx, most: int) -> list[tuple[Delivery, Subscriber]]:
    """What is to be tried now, the longest due first."""
    rows = tx.rows(_DUE, {"now": time_text(tx.now), "most": most})
    waiting: list[Delivery] = [KEPT[Delivery].codec.decode(row) for row in rows]
    found = [(one, tx.get(Subscriber, one.subscriber_id)) for one in waiting]
    return [(one, subscriber) for one, subscriber in found if subscriber]


def delivered(tx: Tx, ids: Sequence[str]) -> None:
    """They were told, or are given up."""
    if ids:
        tx.run(_FORGET, {"ids": list(ids)})


def postpone(tx: Tx, delivery: Delivery, until: datetime) -> None:
    """It is tried again then, unless it was removed meanwhile."""
    found = tx.get(Delivery, delivery.id)
    if found is not None:
        tx.update(found, msgspec.structs.replace(found, tries=found.tries + 1, next_at=until))


def _keep(tx: Tx, made: Sequence[Delivery]) -> None:
    if not made:
        return
    over = int(tx.rows(_COUNT, {})[0][0]) + len(made) - MOST_DELIVERIES
    if over > 0:
        tx.run(_FORGET, {"ids": [row[0] for row in tx.rows(_OLDEST, {"most": over})]})
    tx.insert_many(made)


def _require_member(actor: Actor) -> None:
    if not (actor.admin or actor.roles & {"member", "manager"}):
        raise Forbidden("Only members of a project say who is told of it.")


def _check(url: str, *, operator: bool) -> None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadRequest("That is no URL.") from None
    # Operators know what is behind their own addresses; tenants' requests cross the Internet.
    allowed = ("https", "http", *_SYSLOG) if operator else ("https",)
    if len(url) > 2000 or not url.isascii() or not url.isprintable() or parts.scheme not in allowed:
        raise BadRequest(f"A subscriber's URL begins with one of {', '.join(allowed)}.")
    if parts.username or parts.password or parts.fragment:
        raise BadRequest("A subscriber's URL has no user, password or fragment.")
    if parts.scheme == "syslog+unix":
        if not parts.path or parts.netloc:
            raise BadRequest("Of a socket the path is needed: syslog+unix:///dev/log.")
    elif not parts.hostname or (parts.scheme in _SYSLOG and not port):
        raise BadRequest("The URL needs a host, for syslog a port, too.")


def _body(incident: Incident, entry: Entry, runbooks: str) -> str:
    told = {
        "id": f"{entry.incident_id}/{entry.number}",
        "incident": entry.incident_id,
        "kind": entry.kind,
        "at": entry.at,
        "words": entry.words,
        "details": linked(entry.details, runbooks),
        "rule": incident.rule,
        "subject": {"kind": incident.subject_kind, "id": incident.subject_id},
        "project_id": incident.project_id,
        "state": incident.state,
    }
    return msgspec.json.encode(told).decode()
