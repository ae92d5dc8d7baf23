"""Questions to hosts: whom they are put to, which answers count, and how they get to another controller's hosts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, nullcontext

import msgspec
import pytest

from suimon.distribution.config import DistributionConfig
from suimon.distribution.distribution import Distribution
from suimon.distribution.inquiry import Questions
from suimon.distribution.links import Link
from suimon.model.errors import Unavailable
from suimon.model.questions import QUESTIONS_SINCE, CountDrops, Question, Traced
from suimon.model.view import SCHEMA, Frame, Watch
from suimon.resources import hosts
from suimon.store.store import Store, StoreConfig
from tests.distribution.world import make_host, put
from tests.postgresql import cluster

H1 = make_host("h1", None)
ASKED = Question("", "port/p1", {"eth_type": 0x0800})


class Nobody:
    """Controllers that share the database: there are none."""

    shared = False

    async def tell(self, message: str) -> None:
        raise AssertionError(message)

    def listening(self, heard: Callable[[str], None]) -> AbstractContextManager[None]:
        return nullcontext()


def link(schema: int = SCHEMA) -> Link:
    return Link(msgspec.structs.replace(H1, schema=schema), 1 << 20)


async def asked_of(to_host: Link) -> Question:
    frame = msgspec.json.decode(await to_host.receive(5.0) or b"", type=Frame)
    assert isinstance(frame, Question)
    return frame


def test_a_question_goes_down_the_stream_and_its_answer_comes_back() -> None:
    async def scenario() -> None:
        to_host = link()
        questions = Questions(5.0, {"h1": to_host}.get, Nobody())
        asking = asyncio.create_task(questions.ask("h1", ASKED))
        asked = await asked_of(to_host)
        assert asked.entry == "port/p1" and asked.id
        questions.answered("h2", Traced(asked.id, ("of another host",)))
        questions.answered("h1", Traced("another", ("of another question",)))
        assert not asking.done()
        questions.answered("h1", Traced(asked.id, ("port/p2",), "deliver", "bad\x1b[31m"))
        assert await asking == Traced(asked.id, ("port/p2",), "deliver", "bad [31m")
        questions.answered("h1", Traced(asked.id))

    asyncio.run(scenario())


def test_who_can_not_be_asked_is_not() -> None:
    async def scenario() -> None:
        old, silent = link(QUESTIONS_SINCE - 1), link()
        questions = Questions(0.01, {"old": old, "h1": silent}.get, Nobody())
        assert "no line" in (await questions.ask("away", ASKED)).error
        assert "older" in (await questions.ask("old", ASKED)).error
        assert "older" in (await questions.ask("old", CountDrops("", "p1"))).error
        assert not old._frames and not silent._frames
        assert "did not answer" in (await questions.ask("h1", ASKED)).error
        many = [asyncio.create_task(questions.ask("h1", ASKED)) for _ in range(40)]
        said = [told.error for told in await asyncio.gather(*many)]
        assert sum("too many" in each for each in said) == 8

    asyncio.run(scenario())


@asynccontextmanager
async def controllers(count: int, timeout_s: float) -> AsyncIterator[list[tuple[Distribution, list[str]]]]:
    """On one PostgreSQL, which knows h1; with the statements of each one's store."""
    url = cluster().url()
    async with AsyncExitStack() as stack:
        stack.callback(cluster().drop, url)
        running = await stack.enter_async_context(asyncio.TaskGroup())
        made: list[tuple[Distribution, list[str]]] = []
        for _ in range(count):
            store = Store(StoreConfig(url, look_every_s=3600))
            store.open()
            stack.callback(store.close)
            if not made:
                await put(store, H1)
            statements: list[str] = []
            store.trace(statements.append)
            made.append((Distribution(DistributionConfig(question_timeout_s=timeout_s), store, hosts), statements))
        tasks = [running.create_task(distribution.run()) for distribution, _ in made]
        async with asyncio.timeout(30):
            yield made
        for task in tasks:
            task.cancel()


async def linked(distribution: Distribution) -> Link:
    to_host = await distribution.watch(H1, Watch(SCHEMA))
    assert isinstance(to_host, Link)
    await to_host.receive(5.0)
    return to_host


def test_another_controllers_host_is_asked_by_the_database() -> None:
    async def scenario() -> None:
        async with controllers(3, 5.0) as ((here, said), (there, _), (_third, nothing)):
            to_host = await linked(there)
            nothing.clear()
            said.clear()
            asking = asyncio.create_task(here.questions.ask("h1", ASKED))
            asked = await asked_of(to_host)
            assert msgspec.structs.replace(asked, id="") == ASKED
            here.questions.answered("h1", Traced(asked.id + "0", ("of another question",)))
            there.questions.answered("h1", Traced(asked.id, ("port/p2",), "deliver"))
            assert await asking == Traced(asked.id, ("port/p2",), "deliver")
            asking = asyncio.create_task(here.questions.ask("h1", ASKED))
            there.questions.answered("h1", Traced((await asked_of(to_host)).id, tuple("x" * 2000 for _ in range(16))))
            assert "longer than" in (await asking).error
            assert len(said) == 2 and nothing == [], "one statement a question, none of those who are not concerned"

    asyncio.run(scenario())


def test_an_answer_that_comes_to_another_controller_gets_to_who_asked() -> None:
    async def scenario() -> None:
        async with controllers(3, 5.0) as ((here, _), (there, _), (third, nothing)):
            to_host = await linked(there)
            for asker in (there, here, third):
                asking = asyncio.create_task(asker.questions.ask("h1", ASKED))
                traced = Traced((await asked_of(to_host)).id, ("port/p2",), "deliver")
                nothing.clear()
                await third.questions.arrived("h1", traced)
                assert await asking == traced
            assert nothing == [], "what answers its own question it keeps"

    asyncio.run(scenario())


def test_what_nobody_asked_is_not_carried_and_an_answer_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with controllers(2, 5.0) as ((there, _), (here, said)):
            to_host = await linked(there)
            asking = asyncio.create_task(there.questions.ask("h1", ASKED))
            traced = Traced((await asked_of(to_host)).id, ("port/p2",), "deliver")
            said.clear()
            await here.questions.arrived("h1", traced)
            assert await asking == traced and len(said) == 1
            monkeypatch.setattr("suimon.distribution.inquiry._CARRIED_S", 0.05)
            told = (("h1", traced.id), *(("h1", f"made up {number}") for number in range(100)), ("h2", traced.id))
            await asyncio.gather(*(here.questions.arrived(host, Traced(id_)) for host, id_ in told))
            assert len(said) == 1

    asyncio.run(scenario())


def test_a_database_that_is_away_keeps_nobody_from_asking_his_own_hosts() -> None:
    class Away(Nobody):
        shared = True

        async def tell(self, message: str) -> None:
            raise Unavailable("away")

    async def scenario() -> None:
        to_host = link()
        questions = Questions(5.0, {"h1": to_host}.get, Away())
        asking = asyncio.create_task(questions.ask("h1", ASKED))
        traced = Traced((await asked_of(to_host)).id)
        await questions.arrived("h1", traced)
        assert await asking == traced

    asyncio.run(scenario())


def test_a_host_that_no_controller_has_a_line_to_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with controllers(2, 0.05) as ((here, _), (there, _)):
            await linked(there)
            monkeypatch.setattr("suimon.distribution.inquiry._CARRIED_S", 0.2)
            assert "no controller has a line" in (await here.questions.ask("h2", ASKED)).error
            monkeypatch.setattr("suimon.distribution.inquiry._CARRIED_S", 30.0)
            told = await here.questions.ask("h1", ASKED)
            assert "the host did not answer" in told.error, "in its controller's words"

    asyncio.run(scenario())
