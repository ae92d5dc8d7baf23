"""The breaker: open, nothing happens by itself. Anything opens it, which subscribers are told; a person closes it."""

from __future__ import annotations

from suimon.model.actor import Actor
from suimon.model.errors import Conflict
from suimon.model.incidents import BREAKER_OPEN, Breaker, runbook
from suimon.resources.alarms import tell_alarm
from suimon.resources.incidents import Line
from suimon.resources.rulebooks import require_operator, require_words
from suimon.store.tx import Tx


def breaker(tx: Tx) -> Breaker | None:
    """How it is; None when nobody ever touched it, which is closed."""
    found = tx.select(Breaker)
    return found[0] if found else None


def open_breaker(tx: Tx, actor: Actor, why: str) -> Breaker:
    """From now on people are asked, and it is an incident. One that is open stays as it is, with its first reason."""
    before = breaker(tx)
    if before is not None and before.is_open:
        return before
    line = Line("breaker", f"the breaker opens: {why}", {"runbook": runbook(BREAKER_OPEN)})
    tell_alarm(tx, actor, f"breaker/{tx.now.isoformat()}", ("controller", ""), line)
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
