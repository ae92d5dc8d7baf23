"""The breaker: open, nothing happens by itself. Anything opens it, which subscribers are told; a person closes it."""

from __future__ import annotations

from typing import Final
from uuid import UUID, uuid5

from suimon.model.actor import Actor
from suimon.model.errors import Conflict
from suimon.model.incidents import BREAKER_OPEN, Breaker, Incident, runbook
from suimon.resources.incidents import Line, open_incident
from suimon.resources.rulebooks import require_operator, require_words, rulebook
from suimon.store.tx import Tx

_FAMILY: Final = UUID("0d5b1d0c-6a5e-5d2a-8a63-55f0a8c0c1e7")
"""The UUID namespace in which the time of an opening becomes its incident's id (RFC 9562, section 5.5)."""


def breaker(tx: Tx) -> Breaker | None:
    """How it is; None when nobody ever touched it, which is closed."""
    found = tx.select(Breaker)
    return found[0] if found else None


def open_breaker(tx: Tx, actor: Actor, why: str) -> Breaker:
    """From now on people are asked, and it is an incident. One that is open stays as it is, with its first reason."""
    before = breaker(tx)
    if before is not None and before.is_open:
        return before
    incident = Incident(
        id=str(uuid5(_FAMILY, f"breaker/{tx.now.isoformat()}")),
        rule="breaker",
        rulebook_version=rulebook(tx)[0],
        finding_id="",
        subject_kind="controller",
        subject_id="",
        project_id=None,
        state="closed",
        mode="alarm",
        opened_at=tx.now,
        weight=0,
        wanted={},
        closed_at=tx.now,
    )
    line = Line("breaker", f"the breaker opens: {why}", {"runbook": runbook(BREAKER_OPEN)})
    open_incident(tx, actor, incident, [line])
    return _set(tx, actor, why, is_open=True)


def close_breaker(tx: Tx, actor: Actor, why: str) -> Breaker:
    """Raises Forbidden, BadRequest without a reason, Conflict when it isn't open."""
    require_operator(actor, "close the breaker")
    require_words(why)
    before = breaker(tx)
    if before is None or not before.is_open:
        raise Conflict("The breaker is not open.")
    return _set(tx, actor, why, is_open=False)


def _set(tx: Tx, actor: Actor, why: str, *, is_open: bool) -> Breaker:
    after = Breaker(is_open=is_open, changed_at=tx.now, author=actor.user_id, why=why)
    before = breaker(tx)
    if before is None:
        tx.insert(after)
    else:
        tx.update(before, after)
    return after
