"""The component: what the cloud's policies call for goes through the gate, is done, and is looked at afterwards.

It works in the controller that records what is called for, after each time that it did (`Enforcement.after_round`).
Each call is decided in one transaction, with what is done about it: whoever dies in between left it done, or to be
decided.
"""

from __future__ import annotations

import json
from typing import Final

import msgspec
import structlog

from suimon.enforcement.world import World
from suimon.model.actor import SYSTEM
from suimon.model.errors import CallerError, Unavailable
from suimon.model.findings import Subject
from suimon.model.incidents import DOES_NOT_BITE, Incident, runbook
from suimon.model.policies import CLOUD, Called, Policy
from suimon.model.rulebook import Mode, Place
from suimon.resources import actions, calls
from suimon.resources.incidents import Line, change_incident, close, find_incident
from suimon.resources.places import place_of
from suimon.resources.remedies import POLICY, rule_actor, wanted_of
from suimon.response.acts import Matter, settled, weigh
from suimon.response.gate import Case, Decision
from suimon.store.store import Store
from suimon.store.tx import Tx

log = structlog.get_logger()
NOWHERE: Final = Subject("cloud", "")


class ExecutorConfig(msgspec.Struct, frozen=True):
    """How many calls are decided in one round, and of how many that ask it is tried what would follow."""

    calls_at_once: int = 1000
    foreseen_at_once: int = 20


class Executor:
    """`world` is where calls are seen to hold, and no more."""

    def __init__(self, config: ExecutorConfig, store: Store, world: World) -> None:
        self._config = config
        self._store = store
        self._world = world

    async def round(self) -> None:
        """Close what is asked in vain, decide what is called for, look at what was done. Raises Unavailable."""
        in_vain, undecided = await self._store.read(
            lambda tx: (calls.asked_in_vain(tx), calls.undecided(tx, self._config.calls_at_once))
        )
        for id_ in in_vain:
            await self._store.write(lambda tx, id_=id_: _forgo(tx, id_), SYSTEM)  # type: ignore[misc]
        foreseen = 0
        for call in undecided:
            asks = foreseen < self._config.foreseen_at_once and await self._store.read(lambda tx, c=call: _asks(tx, c))  # type: ignore[misc]
            foreseen += asks
            await self._decide(call, await self._foresee(call) if asks else "")
        for incident in await self._store.read(lambda tx: tx.select(Incident, {"state": "acted"})):
            await self._store.write(lambda tx, id_=incident.id: self._look(tx, id_), SYSTEM)  # type: ignore[misc]

    async def _decide(self, call: Called, follows: str) -> None:
        try:
            made = await self._store.write(lambda tx: self._settle(tx, call.id, follows), SYSTEM)
        except Unavailable:
            raise
        except CallerError as error:
            why = f"it can't be done: {error.message}"
            made = await self._store.write(lambda tx: _refused(tx, call.id, why), SYSTEM)
        if made is not None:
            log.info("call_settled", policy=call.policy, action=call.action, incident=made.id, state=made.state)

    def _settle(self, tx: Tx, id_: str, follows: str) -> Incident | None:
        """Decided by what is so in this transaction. None when it is not called for (any more)."""
        call, policy, mode = _due(tx, id_)
        if call is None or policy is None or mode is None or not self._holds(tx, call):
            return None
        action = actions.action_of(call.action)
        args = actions.arguments_of(action, _row(call))
        lasts_h = float(args.get("hours", 1))
        before = calls.undone_before(tx, call)
        doubts = (f"it was done before, and undone (incident {before.id})",) if before else ()
        place = _place(tx, action, args)
        case = Case(by=f"policy {call.policy}", mode=mode, place=place, lasts_h=lasts_h, doubts=doubts)
        matter = _matter(call, case, action.subject(args), follows)
        decision = weigh(tx, matter)
        calls.decided(tx, call, mode)
        reason = f"The policy {policy.name} calls for it. {policy.description}".strip()
        return settled(tx, matter, decision, wanted_of(call.action, args, reason, decision.lasts_s))

    async def _foresee(self, call: Called) -> str:
        """What would follow: it is done, looked at, and undone. "" when that can't be told."""

        def attempt(tx: Tx) -> None:
            action = actions.action_of(call.action)
            if action.do is None:
                raise _Foreseen("")
            action.do(tx, rule_actor(f"{POLICY}{call.policy}"), actions.arguments_of(action, _row(call)))
            raise _Foreseen("; ".join(self._world.foresee(tx)) or "no violation appears or vanishes")

        try:
            await self._store.write(attempt, SYSTEM)
        except _Foreseen as foreseen:
            return str(foreseen)
        except Unavailable:
            raise
        except CallerError as error:
            return f"it could not be done: {error.message}"
        return ""

    def _holds(self, tx: Tx, call: Called) -> bool:
        return self._world.ask(tx, CLOUD, lambda scope: scope.calls_for(call.policy, call.action, _row(call)))

    def _look(self, tx: Tx, id_: str) -> Incident | None:
        """Whether the policy calls for it still, though it was done."""
        incident = find_incident(tx, id_)
        if incident.state != "acted":
            return None
        call = tx.get(Called, incident.finding_id)
        if call is None or not actions.action_of(call.action).mends:
            return close(tx, SYSTEM, incident, Line("verification", "there is nothing to look at", {"bites": None}))
        bites = not self._holds(tx, call)
        after = change_incident(tx, incident, bites=bites)
        if bites:
            words = f"the policy {call.policy} calls for it no more"
            return close(tx, SYSTEM, after, Line("verification", words, {"bites": True}))
        words = f"the action does not bite: the policy {call.policy} still calls for it"
        return close(tx, SYSTEM, after, Line("alarm", words, {"bites": False, "runbook": runbook(DOES_NOT_BITE)}))


class _Foreseen(Exception):
    """Leaves a transaction, which undoes it, with what was seen in it."""


def _due(tx: Tx, id_: str) -> tuple[Called | None, Policy | None, Mode | None]:
    call = tx.get(Called, id_)
    policy = calls.policy_of(tx, call) if call else None
    mode = calls.mode_of(policy) if policy else None
    return (call, policy, mode) if call and mode and calls.is_due(call, mode) else (None, policy, mode)


def _asks(tx: Tx, call: Called) -> bool:
    """As far as is known before it is decided: that too much was done already is not."""
    policy = calls.policy_of(tx, call)
    mode = calls.mode_of(policy) if policy else None
    return mode == "approve" or (mode == "act" and calls.undone_before(tx, call) is not None)


def _place(tx: Tx, action: actions.Action, args: actions.Arguments) -> Place:
    """What takes nothing from anybody counts as one act, whatever it is done to."""
    place = place_of(tx, action.subject(args))
    return place if action.binds else msgspec.structs.replace(place, ports=1)


def _matter(call: Called, case: Case, subject: Subject, follows: str = "") -> Matter:
    said = f"the policy {call.policy} calls for {call.action}({', '.join(map(json.dumps, _row(call)))})"
    told: dict[str, object] = {"call_id": call.id, "revision": call.appeared_revision, "request_id": call.request_id}
    lines = [Line("finding", said, told), Line("evidence", call.why or "one of too many at once")]
    if follows:
        lines.append(Line("evidence", f"what would follow: {follows}"))
    return Matter(
        case=case,
        rule=f"{POLICY}{call.policy}",
        source=call.id,
        subject_kind=subject.kind,
        subject_id=subject.id,
        lines=tuple(lines),
    )


def _refused(tx: Tx, id_: str, why: str) -> Incident | None:
    """What there is no such action for, or can't be done."""
    call, _, mode = _due(tx, id_)
    if call is None or mode is None:
        return None
    calls.decided(tx, call, mode)
    matter = _matter(call, Case(by=f"policy {call.policy}", mode=mode, place=Place(target=NOWHERE)), NOWHERE)
    return settled(tx, matter, Decision(verdict="refuse", reasons=(why,)), {})


def _forgo(tx: Tx, id_: str) -> Incident | None:
    incident = find_incident(tx, id_)
    if incident.state != "waiting":
        return None
    return close(tx, SYSTEM, incident, Line("release", "the policy calls for it no more, before anybody answered"))


def _row(call: Called) -> tuple[actions.Value, ...]:
    return tuple(json.loads(call.row))
