"""Acts on collectors of flow records: joining with a one-time token, being removed; and where ports are plugged."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from hmac import compare_digest
from typing import Final
from urllib.parse import urlsplit

from sqlalchemy import bindparam, update

from suimon.detection.threshold_file import OF_COLLECTORS
from suimon.model.actor import SYSTEM, Actor
from suimon.model.collectors import SHARED, CollectorJoin, FailedDetector
from suimon.model.errors import BadRequest, Forbidden, NotFound, Unauthorized
from suimon.model.incidents import COLLECTOR_SILENT, runbook
from suimon.model.things import Collector, JoinToken
from suimon.resources import findings, hosts
from suimon.resources.alarms import tell_alarm, tell_detector
from suimon.resources.incidents import Line
from suimon.store.columns import time_text
from suimon.store.tables import COLLECTORS
from suimon.store.tx import Tx

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,62}")
_KEY: Final = re.compile(r"[0-9A-Za-z_-]{32,128}")
SILENT_S: Final = 120.0
"""A question waits for 20 s at most, and one that failed is asked again after 2."""
_HEARD: Final = update(COLLECTORS).where(COLLECTORS.c.name == bindparam("named")).values(heard_at=bindparam("now"))

secret_hash = hosts.secret_hash
note_findings = findings.note_findings


def create_collector_token(tx: Tx, actor: Actor, secret: str, lifetime: timedelta, name: str) -> JoinToken:
    """Let whoever knows `secret` join once as the collector of that name. Raises Forbidden, BadRequest."""
    _require_admin(actor, "make join tokens")
    _check_name(name)
    token = JoinToken(id=secret_hash(secret), host=f"collector/{name}", expires_at=tx.now + lifetime)
    tx.insert(token)
    return token


def require_collector_token(tx: Tx, wanted: CollectorJoin) -> JoinToken:
    """Raises Unauthorized for a token that isn't good (any more), or not for this collector."""
    token = tx.get(JoinToken, secret_hash(wanted.token))
    if token is None or token.expires_at <= tx.now or token.host != f"collector/{wanted.name}":
        raise Unauthorized("The join token is unknown, used already, expired or not for a collector of this name.")
    return token


def join_collector(tx: Tx, wanted: CollectorJoin, credential_hash: str) -> Collector:
    """Trade the token for a credential; one that joins again replaces what was known of it.

    Raises Unauthorized, and BadRequest for a URL or key that can't be; then the token stays good.
    """
    token = require_collector_token(tx, wanted)
    where = urlsplit(wanted.url)
    if where.scheme not in ("http", "https") or not where.hostname or len(wanted.url) > 300:
        raise BadRequest(f"{wanted.url[:80]!r} is not where a collector could be asked: say http(s)://HOST:PORT.")
    if not _KEY.fullmatch(wanted.key):
        raise BadRequest("The key is not one of 32 to 128 letters and digits.")
    tx.delete(token)
    before = tx.get(Collector, wanted.name)
    if before is not None:
        tx.delete(before)
    made = Collector(
        name=wanted.name, url=wanted.url, key=wanted.key, credential_hash=credential_hash, joined_at=tx.now
    )
    tx.insert(made)
    return made


def find_collector(tx: Tx, credential: str) -> Collector | None:
    """The collector whose credential this is."""
    hashed = secret_hash(credential)
    found = tx.select(Collector, {"credential_hash": hashed})
    return found[0] if found and compare_digest(found[0].credential_hash, hashed) else None


def list_collectors(tx: Tx) -> list[Collector]:
    """All by name; their keys are not for callers to see."""
    return tx.select(Collector, order=("name",))


def note_heard(tx: Tx, name: str, failed: Sequence[FailedDetector] = ()) -> None:
    """It asks, and says which of its detectors threw lately. That it asks is in no log: nobody waits for it."""
    tx.run(_HEARD, {"named": name, "now": time_text(tx.now)})
    for each in failed:
        # Nobody chooses the names of our alarms.
        detector = each.name if each.name in OF_COLLECTORS else SHARED
        tell_detector(tx, detector, ("collector", name), each.times, each.reason)


def silent_collectors(tx: Tx) -> list[tuple[Collector, datetime]]:
    """Those that were not heard of for too long, and since when."""
    heard = [(one, one.heard_at or one.joined_at) for one in list_collectors(tx)]
    return [(one, since) for one, since in heard if (tx.now - since).total_seconds() > SILENT_S]


def tell_silent(tx: Tx) -> None:
    """Let operators know, once each time."""
    for one, since in silent_collectors(tx):
        words = (
            f"collector {one.name} has been silent since {since:%Y-%m-%d %H:%M:%S} UTC: nothing is found by its records"
        )
        line = Line("alarm", words, {"runbook": runbook(COLLECTOR_SILENT), "url": one.url})
        tell_alarm(tx, SYSTEM, f"collector/{one.name}/{time_text(since)}", ("collector", one.name), line)


def delete_collector(tx: Tx, actor: Actor, name: str) -> None:
    """Forget it and its credential. Raises Forbidden, NotFound."""
    _require_admin(actor, "remove collectors")
    found = tx.get(Collector, name)
    if found is None:
        raise NotFound(f"Collector {name} could not be found.")
    tx.delete(found)


def _require_admin(actor: Actor, act: str) -> None:
    if not actor.admin:
        raise Forbidden(f"Only operators may {act}.")


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise BadRequest(f"{name[:80]!r} is not a name of a collector: letters, digits, dots and hyphens.")
