"""What proactive policies forbid: a transaction's own changes, tried on their engines."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec
import structlog

from suimon.enforcement.scope import Key, Scope
from suimon.enforcement.words import account, atom
from suimon.model.errors import Forbidden
from suimon.model.policies import VIOLATIONS
from suimon.policy.engine import TooMuch

log = structlog.get_logger()


def forbid(scopes: Iterable[Scope], things: Mapping[Key, msgspec.Struct | None], public: Collection[str]) -> None:
    """Raises Forbidden when these changes would make something wrong that an enforced, proactive policy is about. What
    a staged one would forbid is logged.
    """
    for scope in scopes:
        try:
            _forbid(scope, things, public)
        except TooMuch as error:
            # The change is let in: a clause that is too much must not stop everybody's work.
            log.error("policy_not_asked", project=scope.project_id, reason=error.message)


def _forbid(scope: Scope, things: Mapping[Key, msgspec.Struct | None], public: Collection[str]) -> None:
    changes = scope.fact_changes(things, public)
    if not changes:
        return
    with scope.engine.trial(changes) as difference:
        for policy in scope.watchful:
            for row in difference.appeared.get((policy.name, VIOLATIONS), ())[:1]:
                why = account(scope.engine, scope.sources, policy.name, VIOLATIONS, row)
                words = f"{policy.name} of {policy.author} forbids this: {policy.description}".rstrip(": ")
                told = {"policy": policy.name, "row": atom(("", VIOLATIONS), row)}
                if policy.mode == "enforced":
                    log.info("policy_forbade", project=scope.project_id, **told)
                    raise Forbidden(f"The policy {words}\n{why}", "PolicyForbids")
                log.info("policy_would_forbid", project=scope.project_id, **told)
