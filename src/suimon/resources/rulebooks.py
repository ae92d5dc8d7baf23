"""Rulebooks: each version with who wrote it, when, why, and how it differs. The newest is the one in force."""

from __future__ import annotations

from difflib import unified_diff
from functools import lru_cache
from typing import Final

from suimon.model.actor import Actor
from suimon.model.errors import BadRequest, Forbidden, NotFound, PreconditionFailed
from suimon.model.incidents import RulebookVersion
from suimon.model.rulebook import Rulebook
from suimon.resources.rule_file import read_rulebook, require_dry_first
from suimon.store.tx import Tx

MOST_WHY: Final = 1000


def rulebook(tx: Tx) -> tuple[int, Rulebook]:
    """The version in force and what it says; version 0 has no rules."""
    found = newest(tx)
    return (found.version, _read(found.text)) if found else (0, Rulebook())


def newest(tx: Tx) -> RulebookVersion | None:
    """As it was written."""
    found = tx.select(RulebookVersion, order=("-version",), limit=1)
    return found[0] if found else None


def put_rulebook(tx: Tx, actor: Actor, text: str, why: str, expected: int | None = None) -> RulebookVersion:
    """Put a new version in force. `expected` is the version that it was written after.

    Raises Forbidden, PreconditionFailed, and BadRequest with the line and column of what is wrong, or for a rule that
    is new and would do more than dry run.
    """
    require_operator(actor, "write rules")
    before = newest(tx)
    number = before.version if before else 0
    if expected is not None and expected != number:
        raise PreconditionFailed(f"The rulebook has version {number} by now, not {expected}.")
    require_words(why)
    require_dry_first(text, _read(before.text) if before else Rulebook())
    old = before.text if before else ""
    names = (f"version {number}", f"version {number + 1}")
    diff = unified_diff(old.splitlines(keepends=True), text.splitlines(keepends=True), *names)
    made = RulebookVersion(
        version=number + 1, author=actor.user_id, made_at=tx.now, why=why, text=text, diff="".join(diff)
    )
    tx.insert(made)
    return made


def rulebook_versions(tx: Tx, actor: Actor) -> list[RulebookVersion]:
    """The newest first. Raises Forbidden."""
    require_operator(actor, "see rules")
    return tx.select(RulebookVersion, order=("-version",), limit=100)


def rulebook_version(tx: Tx, actor: Actor, version: int) -> RulebookVersion:
    """One of them. Raises Forbidden, NotFound."""
    require_operator(actor, "see rules")
    found = tx.select(RulebookVersion, {"version": version})
    if not found:
        raise NotFound(f"There is no version {version} of the rulebook.")
    return found[0]


def require_operator(actor: Actor, act: str) -> None:
    """Raises Forbidden."""
    if not actor.admin:
        raise Forbidden(f"Only operators may {act}.")


def require_words(why: str) -> None:
    """Raises BadRequest: whoever changes what happens by itself says why."""
    if not why.strip() or len(why) > MOST_WHY:
        raise BadRequest(f"Say why, in at most {MOST_WHY} characters.")


_read = lru_cache(maxsize=8)(read_rulebook)
"""What was kept was checked, by this version of us or by one before it."""
