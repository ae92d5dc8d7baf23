"""What facts were, and what a policy would have made of them: `/policy/v1/past` and `/policy/v1/policies/*/replay`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from suimon.api.gate import Gate
from suimon.api.policy.records import moment_of
from suimon.api.wire import Call, answer, converted, limit_of
from suimon.enforcement import timed
from suimon.enforcement.flows import Talks
from suimon.enforcement.past import Table, gap_words, known_at
from suimon.enforcement.replay import OF_CLOUD, OF_PROJECT, Drafted, Recorded, Replayed, asked_tables, drafted, outside
from suimon.enforcement.replay import recorded as recorded_of
from suimon.enforcement.replay import replay as replay_of
from suimon.enforcement.scope import Sources
from suimon.enforcement.world import World
from suimon.model.actor import Actor
from suimon.model.errors import BadRequest, NotFound, Unavailable
from suimon.model.policies import CLOUD, Clause, Policy
from suimon.policy.changes import Row
from suimon.policy.facts import CLOCK
from suimon.resources import policies as acts
from suimon.store.tx import Tx

_MOST_THINGS: Final = 200_000
_TELL_EVERY_S: Final = 1.0


class Span(msgspec.Struct, forbid_unknown_fields=True):
    """Which time is replayed, and with `rules` what instead of the policy's own."""

    since: str
    until: str | None = None
    rules: (
        Annotated[list[Annotated[str, Meta(max_length=acts.MOST_TEXT)]], Meta(max_length=acts.MOST_CLAUSES)] | None
    ) = None


class Pasts:
    """The handlers."""

    def __init__(self, gate: Gate, world: World, talks: Talks) -> None:
        self._store = gate.store
        self._world = world
        self._talks = talks
        self._replaying = False

    async def rows(self, call: Call, actor: Actor, source: str, table: str) -> Response:
        """GET ?at=: what a table held then, `limit` rows of it, how many there were, and what isn't known."""
        query = dict(call.query())
        if query.keys() - {"at", "limit"} or "at" not in query:
            raise BadRequest("Of which time? ?at=2026-11-21T14:02:00Z, and limit.")
        at, limit = moment_of(query["at"]), limit_of(call.query())
        project_id = acts.scope_of(actor)

        def read(tx: Tx) -> tuple[tuple[str, ...], list[Row], list[str]]:
            sources = self._world.sources(tx, project_id)
            columns = sources.get(source, {}).get(table)
            if columns is None:
                raise NotFound(f"Table {source}:{table} could not be found.")
            past = self._world.past([(source, table)], project_id, sources)
            if not past.known:
                raise BadRequest(f"{source}:{table} is read elsewhere: what it held isn't kept.")
            revision = known_at(tx, at).revision
            missing = [f"{':'.join(each)}: nothing is known by then" for each in past.unknown(tx, revision)]
            missing += [gap_words(name, gap) for name, gap in past.gaps(tx, (revision, revision))]
            return columns, past.rows(tx, revision, _MOST_THINGS), missing

        columns, rows, missing = await self._store.read(read)
        return answer({"columns": columns, "rows": rows[:limit], "many": len(rows), "missing": missing})

    async def replay(self, call: Call, actor: Actor, name: str) -> Response:
        """POST: lines of JSON, `progress` while it goes on and `replay` at its end."""
        said = converted(await call.json(), Span)
        since = moment_of(said.since)
        until = moment_of(said.until) if said.until else self._store.now()
        limits = OF_CLOUD if actor.admin else OF_PROJECT

        def load(tx: Tx) -> tuple[str, Drafted, Sources, Recorded]:
            project_id, draft = _draft(tx, actor, name, said.rules)
            sources = self._world.sources(tx, project_id)
            tables = asked_tables(draft, sources)
            past, now = self._world.past(tables, project_id, sources), outside(tx, tables, project_id)
            return project_id, draft, sources, recorded_of(tx, past, (since, until), now, limits)

        if self._replaying:
            raise Unavailable("Another replay is under way. Try again.")
        self._replaying = True
        try:
            project_id, draft, sources, told = await self._store.read(load)
            told = await self._timed(told, asked_tables(draft, sources), (since, until), project_id)
            steps = replay_of(draft, sources, told, limits, time.monotonic)
            run = _Run(await asyncio.to_thread(next, steps), steps)
            running = asyncio.create_task(asyncio.to_thread(run.on))
        except BaseException:
            self._replaying = False
            raise
        running.add_done_callback(self._over)
        return _Lines(run.lines(running, len(told.moments)))

    async def _timed(self, told: Recorded, tables: list[Table], span: timed.Span, project_id: str) -> Recorded:
        """With the time, and what collectors know."""
        limits = timed.OF_CLOUD if project_id == CLOUD else timed.OF_PROJECT
        if (CLOCK, "now") in tables:
            told = told.timed_by(await asyncio.to_thread(list, timed.ticks(span)))
        return told.timed_by(*await timed.flows(self._talks, tables, span, project_id, limits))

    def _over(self, _task: object) -> None:
        self._replaying = False


class _Run:
    """A replay that goes on in a thread of its own, to the end that its limits set."""

    def __init__(self, found: Replayed, steps: Iterator[Replayed]) -> None:
        self._found = found
        self._steps = steps

    def on(self) -> None:
        """Until it is over."""
        for found in self._steps:
            self._found = found

    async def lines(self, running: asyncio.Task[None], of: int) -> AsyncIterator[bytes]:
        """How far it is, each second, then what came of it."""
        while not (await asyncio.wait([running], timeout=_TELL_EVERY_S))[0]:
            yield msgspec.json.encode({"progress": {"done": self._found.changes, "of": of}}) + b"\n"
        running.result()
        yield msgspec.json.encode({"replay": self._found}) + b"\n"


class _Lines(Response):
    """A body that is sent as it comes."""

    media_type = "application/x-ndjson"

    def __init__(self, lines: AsyncIterator[bytes]) -> None:
        self._lines = lines
        super().__init__()
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for line in self._lines:
            await send({"type": "http.response.body", "body": line, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _draft(tx: Tx, actor: Actor, name: str, rules: list[str] | None) -> tuple[str, Drafted]:
    """Whose policy is replayed, and what it says."""
    visible = acts.list_policies(tx, actor)
    # What is only a draft is its writer's own, whoever else has a policy of that name.
    own = visible if rules is None else [one for one in visible if one.project_id == acts.scope_of(actor)]
    policy = next((one for one in own if name in (one.id, one.name)), None)
    if policy is None and rules is None:
        raise NotFound(f"Policy {name} could not be found.")
    project_id = policy.project_id if policy else acts.scope_of(actor)
    ours: list[Policy] = [one for one in visible if one.project_id == project_id]
    clauses = tx.select(Clause, {"policy_id": [one.id for one in ours]}, order=("made_at", "id")) if ours else []
    return project_id, drafted(ours, clauses, policy.name if policy else name, rules)
