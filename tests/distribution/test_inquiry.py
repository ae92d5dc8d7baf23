"""Questions to hosts: whom they are put to, and which answers count."""

from __future__ import annotations

import asyncio

import msgspec

from suimon.distribution.inquiry import Questions
from suimon.distribution.links import Link
from suimon.model.view import QUESTIONS, CountDrops, Frame, Question, Traced
from tests.distribution.world import make_host

ASKED = Question("", "port/p1", {"eth_type": 0x0800})


def link(*capabilities: str) -> Link:
    made = Link(make_host("h1", None), 1 << 20)
    made.capabilities = frozenset(capabilities)
    return made


def test_a_question_goes_down_the_stream_and_its_answer_comes_back() -> None:
    async def scenario() -> None:
        to_host = link(QUESTIONS)
        questions = Questions(5.0, {"h1": to_host}.get)
        asking = asyncio.create_task(questions.ask("h1", ASKED))
        frame = msgspec.json.decode(await to_host.receive(5.0) or b"", type=Frame)
        assert isinstance(frame, Question) and frame.entry == "port/p1" and frame.id
        questions.answered("h2", Traced(frame.id, ("of another host",)))
        questions.answered("h1", Traced("another", ("of another question",)))
        assert not asking.done()
        questions.answered("h1", Traced(frame.id, ("port/p2",), "deliver", "bad\x1b[31m"))
        assert await asking == Traced(frame.id, ("port/p2",), "deliver", "bad [31m")
        questions.answered("h1", Traced(frame.id))

    asyncio.run(scenario())


def test_who_can_not_be_asked_is_not() -> None:
    async def scenario() -> None:
        old, silent = link(), link(QUESTIONS)
        questions = Questions(0.01, {"old": old, "silent": silent}.get)
        assert "no line" in (await questions.ask("away", ASKED)).error
        assert "older" in (await questions.ask("old", ASKED)).error
        assert "older" in (await questions.ask("silent", CountDrops("", "p1"))).error, "it knows questions, not counts"
        assert not old._frames and not silent._frames
        assert "did not answer" in (await questions.ask("silent", ASKED)).error
        many = [asyncio.create_task(questions.ask("silent", ASKED)) for _ in range(40)]
        said = [told.error for told in await asyncio.gather(*many)]
        assert sum("too many" in each for each in said) == 8

    asyncio.run(scenario())
