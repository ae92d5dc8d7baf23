"""What policies call for: which calls wait for a decision, and which were decided for nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import bindparam, func, select

from suimon.model.incidents import Incident
from suimon.model.policies import CLOUD, Called, Policy
from suimon.model.rulebook import Mode
from suimon.store.columns import time_text
from suimon.store.tables import CALLS, INCIDENTS, KEPT
from suimon.store.tx import Tx

MOST_WAITING: Final = 1000
"""Incidents that wait for an answer; no more calls are taken up meanwhile."""
_BEFORE: Final[Mapping[str, tuple[str, ...]]] = {
    "dry_run": ("",),
    "approve": ("", "dry_run"),
    "act": ("", "dry_run", "approve"),
}
"""By mode, how far a call may have got to be decided in it."""
_IN_VAIN: Final = (
    select(INCIDENTS.c.id)
    .join(CALLS, CALLS.c.id == INCIDENTS.c.finding_id)
    .where(INCIDENTS.c.state == bindparam("state"), CALLS.c.vanished_at.is_not(None))
)
_WAITING: Final = select(func.count()).where(INCIDENTS.c.state == bindparam("state"))
_UNDOABLE: Final = (
    select(*INCIDENTS.columns)
    .where(INCIDENTS.c.done_at >= bindparam("since"), INCIDENTS.c.undo.is_not(None), INCIDENTS.c.undone_at.is_(None))
    .order_by(INCIDENTS.c.done_at.desc(), INCIDENTS.c.id)
    .limit(bindparam("most"))
)


def mode_of(policy: Policy) -> Mode | None:
    """How its calls are decided, as a rule would say it; None: they are not."""
    if policy.mode == "draft" or policy.acts == "never" or policy.project_id != CLOUD:
        return None
    if policy.mode == "staged":
        return "dry_run"
    return "act" if policy.acts == "act" else "approve"


def policy_of(tx: Tx, call: Called) -> Policy | None:
    """Whose call it is."""
    found = tx.select(Policy, {"project_id": call.project_id, "name": call.policy}, limit=1)
    return found[0] if found else None


def is_due(call: Called, mode: Mode) -> bool:
    """Whether it holds, as far as is written, and was not decided in this mode."""
    return call.vanished_at is None and call.decided in _BEFORE[mode]


def undecided(tx: Tx, most: int) -> list[Called]:
    """Calls to be decided, of each policy the oldest first; none while too many people's answers are waited for."""
    found: list[Called] = []
    for policy in tx.select(Policy, {"project_id": CLOUD, "mode": ("staged", "enforced")}, order=("name",)):
        if mode := mode_of(policy):
            where = {"project_id": CLOUD, "policy": policy.name, "vanished_at": None, "decided": _BEFORE[mode]}
            found += tx.select(Called, where, order=("appeared_at", "id"), limit=most)
    if not found or int(tx.rows(_WAITING, {"state": "waiting"})[0][0]) >= MOST_WAITING:
        return []
    return found[:most]


def decided(tx: Tx, call: Called, mode: Mode) -> None:
    """It is not decided again in this mode."""
    tx.update(call, msgspec.structs.replace(call, decided=mode))


def undone_before(tx: Tx, call: Called) -> Incident | None:
    """An incident of the same call, when it was there before, that a person undid."""
    earlier = [one.id for one in tx.select(Called, {"digest": call.digest}) if one.id != call.id]
    found = tx.select(Incident, {"rule": f"policy:{call.policy}", "finding_id": earlier}) if earlier else []
    return next((one for one in found if one.undone_at is not None), None)


def asked_in_vain(tx: Tx) -> list[str]:
    """Incidents that wait for an answer though their call is gone."""
    return [row[0] for row in tx.rows(_IN_VAIN, {"state": "waiting"})]


def undoable(tx: Tx, since: datetime | None, most: int) -> list[Incident]:
    """What was done at that time or later (None: whenever) and can be undone, the newest first."""
    rows = tx.rows(_UNDOABLE, {"since": time_text(since) if since else "", "most": most})
    return [KEPT[Incident].codec.decode(row) for row in rows]
