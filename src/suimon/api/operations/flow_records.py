"""Flow records, asked of the collectors that have them: operators see all, tenants those of their own ports."""

from __future__ import annotations

from collections.abc import Sequence
from ssl import SSLContext
from typing import Any, Final

import msgspec
from starlette.responses import Response

from suimon.api.gate import Gate
from suimon.api.operations.allowance import Allowance
from suimon.api.wire import Call, answer, no_content
from suimon.model.actor import Actor
from suimon.model.collectors import Answer, Question, Sums
from suimon.model.errors import BadRequest, Forbidden, Unavailable
from suimon.resources import collectors as acts
from suimon.telemetry.asking import ask_all

_MOST_WAITING: Final = 4
_NUMBERS: Final = Sums.__struct_fields__
_ASKED: Final = {"filter", "by", "order", "limit"}


class FlowRecords:
    """The handlers of `/operations/v1/flows` and `/operations/v1/collectors`."""

    def __init__(self, gate: Gate, allowance: Allowance, tls: SSLContext | None = None) -> None:
        """`tls` has whom to trust when asking over https, instead of the system's."""
        self._store = gate.store
        self._tls = tls
        self._allowance = allowance
        self._waiting = 0

    async def ask(self, call: Call, actor: Actor) -> Response:
        """GET: records that match `filter`, the newest first, or with `by` the largest sums; of `limit` rows at most.

        Of several collectors, each names its own largest: sums over all of them are of those.
        """
        question = _question(call)
        if not actor.admin:
            self._allowance.spend(actor.project_id)
            question = msgspec.structs.replace(question, project_id=actor.viewer)
        collectors = await self._store.read(acts.list_collectors)
        if not collectors:
            raise Unavailable("No collector of flow records has joined.")
        if self._waiting >= _MOST_WAITING:
            raise Unavailable("Too many questions at once; ask again.")
        self._waiting += 1
        try:
            answers, missing = await ask_all(collectors, "ask", question, Answer, self._tls)
        finally:
            self._waiting -= 1
        if not answers:
            raise Unavailable(f"No collector of flow records answers ({', '.join(missing)}).")
        rows, total = _merged(answers, question)
        return answer({"flows": rows, "total": total, "missing": missing if actor.admin else len(missing)})

    async def collectors(self, call: Call, actor: Actor) -> Response:
        """GET: who has joined, and was heard of when."""
        if not actor.admin:
            raise Forbidden("Only operators may see collectors.")
        found = await self._store.read(acts.list_collectors)
        shown = ("name", "url", "joined_at", "heard_at")
        return answer({"collectors": [{name: getattr(one, name) for name in shown} for one in found]})

    async def remove(self, call: Call, actor: Actor, name: str) -> Response:
        """DELETE: it is told of no port, and asked nothing any more."""
        await self._store.write(lambda tx: acts.delete_collector(tx, actor, name), actor)
        return no_content()


def _question(call: Call) -> Question:
    said = dict(call.query())
    if wrong := said.keys() - _ASKED:
        raise BadRequest(f"{min(wrong)[:50]!r} can't be said of flow records; {', '.join(sorted(_ASKED))} can.")
    try:
        return msgspec.convert(said, Question, strict=False)
    except msgspec.ValidationError as error:
        raise BadRequest(f"That is no question about flow records: {error}.") from None


def _merged(answers: Sequence[Answer], question: Question) -> tuple[list[dict[str, Any]], Sums]:
    total = Sums(*(sum(getattr(each.total, name) for each in answers) for name in _NUMBERS))
    rows = [row for each in answers for row in each.rows]
    if not question.by:
        rows.sort(key=lambda row: -int(row["begun_ms"]))
        return rows[: question.limit], total
    sums: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        key = tuple(value for name, value in sorted(row.items()) if name not in _NUMBERS)
        if (known := sums.get(key)) is None:
            sums[key] = dict(row)
        else:
            known |= {name: known[name] + row[name] for name in _NUMBERS}
    return sorted(sums.values(), key=lambda row: -int(row[question.order]))[: question.limit], total
