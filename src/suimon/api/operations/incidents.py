"""Findings, incidents and what people answer, as `/operations/v1/findings`, `incidents` and `report`."""

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from starlette.responses import Response

from suimon.api.gate import Gate
from suimon.api.operations.restrictions import Release
from suimon.api.wire import MOST_LISTED, Call, answer, converted, limit_of
from suimon.model.actor import Actor
from suimon.model.errors import BadRequest, CallerError, Unavailable
from suimon.model.findings import Finding
from suimon.model.incidents import Entry, Incident, NotedFinding, linked, runbook
from suimon.model.months import Month
from suimon.resources import incidents as acts
from suimon.resources import remedies
from suimon.resources.findings import finding_of, list_findings, note_findings
from suimon.store.tx import Tx

_FILTERS: Final = ("state", "rule", "subject_id", "project_id", "mode")


class Told(msgspec.Struct, forbid_unknown_fields=True):
    """What a detector tells at once."""

    findings: Annotated[list[Finding], Meta(max_length=MOST_LISTED)]


class Why(msgspec.Struct, forbid_unknown_fields=True):
    """A person's reason; of a mark, what it is."""

    why: Annotated[str, Meta(min_length=1, max_length=1000)]
    false_positive: bool = True


class Incidents:
    """The handlers."""

    def __init__(self, gate: Gate) -> None:
        self._store = gate.store

    async def note(self, call: Call, actor: Actor) -> Response:
        """POST findings, each as often as is liked: for services and operators."""
        told = converted(await call.json(), Told)
        noted = await self._store.write(lambda tx: note_findings(tx, actor, told.findings), actor)
        return answer({"noted": len(noted)})

    async def findings(self, call: Call, actor: Actor) -> Response:
        """GET: the newest first. A tenant's are without the records behind them."""
        limit = limit_of(call.query())
        found, page = await self._store.read(lambda tx: (list_findings(tx, actor, limit), tx.settings.runbooks_url))
        return answer({"findings": [_finding(one, actor, page) for one in found]})

    async def index(self, call: Call, actor: Actor) -> Response:
        """GET: the newest first, by `state`, `rule`, `subject_id`, `project_id` or `mode`, `limit` of them."""
        query = call.query()
        where = {name: value for name, value in query if name in _FILTERS}
        if unknown := [name for name, _ in query if name not in (*_FILTERS, "limit")]:
            raise BadRequest(f"There is no filter {unknown[0][:40]!r}: there are {', '.join(_FILTERS)} and limit.")
        found = await self._store.read(lambda tx: acts.list_incidents(tx, actor, where, limit_of(query)))
        return answer({"incidents": [_incident(one, actor) for one in found]})

    async def show(self, call: Call, actor: Actor, id_: str) -> Response:
        """GET one, with its timeline."""
        found, page = await self._store.read(lambda tx: (acts.get_incident(tx, actor, id_), tx.settings.runbooks_url))
        timeline = [_entry(one, actor, page) for one in found[1]]
        return answer({"incident": {**_incident(found[0], actor), "timeline": timeline}})

    async def approve(self, call: Call, actor: Actor, id_: str) -> Response:
        """POST: what waits is done."""
        return await self._answered(call, actor, lambda tx, said: remedies.approve(tx, actor, id_, said.why))

    async def deny(self, call: Call, actor: Actor, id_: str) -> Response:
        """POST: what waits is not done."""
        return await self._answered(call, actor, lambda tx, said: remedies.deny(tx, actor, id_, said.why))

    async def mark(self, call: Call, actor: Actor, id_: str) -> Response:
        """POST: whether it was a mistake; one that was is undone."""

        def act(tx: Tx, said: Why) -> Incident:
            return remedies.mark(tx, actor, id_, said.why, false_positive=said.false_positive)

        return await self._answered(call, actor, act)

    async def undo(self, call: Call, actor: Actor, id_: str) -> Response:
        """POST: what was done is taken back."""
        return await self._answered(call, actor, lambda tx, said: remedies.undo(tx, actor, id_, said.why))

    async def undo_all(self, call: Call, actor: Actor) -> Response:
        """POST: so is all that was done within a time but restrictions, the newest first; what can't be, and why."""
        said = converted(await call.json(), Release)

        def which(tx: Tx) -> list[Incident]:
            since = None if said.within_s is None else tx.now - timedelta(seconds=said.within_s)
            return remedies.done_since(tx, actor, since)

        undone, left = [], []
        for one in await self._store.read(which):
            try:
                after = await self._store.write(lambda tx, id_=one.id: remedies.undo(tx, actor, id_, said.why), actor)  # type: ignore[misc]
                undone.append(_incident(after, actor))
            except Unavailable:
                raise
            except CallerError as error:
                left.append({**_incident(one, actor), "why": error.message})
        return answer({"undone": undone, "left": left})

    async def report(self, call: Call, actor: Actor) -> Response:
        """GET: the figures of a `month` (2026-11), and of each rule in it."""
        month = Month.named(dict(call.query()).get("month", ""))
        found, closed = await self._store.read(lambda tx: (acts.month_report(tx, actor, month), month.end <= tx.now))
        return answer({"report": {**msgspec.structs.asdict(found), "closed": closed}})

    async def _answered(self, call: Call, actor: Actor, act: Callable[[Tx, Why], Incident]) -> Response:
        said = converted(await call.json(), Why)
        incident = await self._store.write(lambda tx: act(tx, said), actor)
        return answer({"incident": _incident(incident, actor)})


def _finding(noted: NotedFinding, actor: Actor, page: str) -> dict[str, object]:
    told = msgspec.to_builtins(finding_of(noted))
    told |= {"noted_at": noted.noted_at, "runbook": runbook(noted.detector, page)}
    hidden = () if actor.admin else ("evidence", "suggestion")
    return {name: value for name, value in told.items() if name not in hidden}


def _incident(incident: Incident, actor: Actor) -> dict[str, object]:
    told = msgspec.structs.asdict(incident)
    of_operators = ("wanted", "undo", "rulebook_version", "weight", "verify_at", "host", "answer_by", "would")
    hidden = () if actor.admin else of_operators
    return {name: value for name, value in told.items() if name not in hidden}


def _entry(entry: Entry, actor: Actor, page: str) -> dict[str, object]:
    shown = {"number": entry.number, "at": entry.at, "kind": entry.kind, "words": entry.words}
    return {**shown, "author": entry.author, "details": linked(entry.details, page)} if actor.admin else shown
