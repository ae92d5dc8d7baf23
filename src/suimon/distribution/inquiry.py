"""Questions to hosts over their open streams, and the answers that come back: few at a time, none waited for long.

A host is asked by the controller's process that it has a line to. Another one that is asked about it tells the question
to all that share the database, and who has the line tells the answer. So does a process that a host's answer came to
but that didn't ask, behind a load balancer or as one of several workers (docs/decisions/0037): once, and only if it was
told that this was asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, suppress
from typing import Final, Protocol
from uuid import uuid4

import msgspec
import structlog

from suimon.distribution.frames import line
from suimon.distribution.links import Link
from suimon.model.errors import BadRequest, CallerError
from suimon.model.questions import LOOKS_SINCE, QUESTIONS_SINCE, Asked, Look, Traced
from suimon.store.store import LONGEST_MESSAGE

log = structlog.get_logger()

_MOST_OUTSTANDING: Final = 32
_LONGEST: Final = 2000
_CARRIED_S: Final = 1.0
"""How long a question, and its answer, may be on their way between two controllers."""


class Others(Protocol):
    """The controllers that share the database, ourselves included: `store.Store`."""

    @property
    def shared(self) -> bool: ...

    async def tell(self, message: str) -> None: ...

    def listening(self, heard: Callable[[str], None]) -> AbstractContextManager[None]: ...


class _Carried(msgspec.Struct, frozen=True, tag="asked"):
    """For whoever has the host's line."""

    host: str
    question: Asked


class _Answered(msgspec.Struct, frozen=True, tag="answered"):
    host: str
    traced: Traced


class _Asks(msgspec.Struct, frozen=True, tag="asks"):
    """Who has the host's line asks it by itself: its answer may come to any."""

    host: str
    id: str


_Message = _Carried | _Answered | _Asks


class Questions:
    """`ask` sends one to a host, whose answer the listener hands to `answered`; `run` hears the other controllers."""

    def __init__(self, timeout_s: float, link: Callable[[str], Link | None], others: Others) -> None:
        self._timeout_s = timeout_s
        self._link = link
        self._others = others
        self._outstanding: dict[tuple[str, str], asyncio.Future[Traced]] = {}
        self._asked_elsewhere: set[tuple[str, str]] = set()
        """What others asked, by host and id, for as long as they wait, and nobody brought us an answer."""
        self._news = asyncio.Event()
        """Set, and another one, when there is more of it."""
        self._unknown = 0
        """Answers that wait for us to be told of their questions."""

    async def run(self) -> None:
        """Until cancelled. Nothing wakes it but a message."""
        async with asyncio.TaskGroup() as tasks:

            def heard(message: str) -> None:
                match _read(message):
                    case _Carried(host, question) if (host, question.id) not in self._outstanding:
                        if link := self._link(host):
                            tasks.create_task(self._answer_other(link, question))
                        else:
                            self._expect(host, question.id)
                    case _Asks(host, id_) if (host, id_) not in self._outstanding:
                        self._expect(host, id_)
                    case _Answered(host, traced):
                        self.answered(host, traced)

            with self._others.listening(heard):
                await asyncio.Event().wait()

    async def ask(self, host: str, question: Asked) -> Traced:
        """With an `error` in words when the host can't be asked or doesn't answer. The question gets an id here."""
        asked = msgspec.structs.replace(question, id=uuid4().hex)
        if link := self._link(host):
            if self._others.shared:
                with suppress(CallerError):  # Then the answer has to come here.
                    await self._tell(_Asks(host, asked.id))
            return await self._ask_here(link, asked)
        if not self._others.shared:
            return Traced(asked.id, error="the host has no line to this controller")
        waited_s = self._timeout_s + _CARRIED_S
        traced = await self._answer(host, asked.id, lambda: self._tell(_Carried(host, asked)), waited_s)
        return traced or Traced(asked.id, error=f"no controller has a line to the host, or none within {waited_s:g} s")

    async def arrived(self, host: str, traced: Traced) -> None:
        """A host's answer, for us or, as its way here needn't be that of its line, for another controller."""
        if (host, traced.id) in self._outstanding or not self._others.shared:
            self.answered(host, traced)
        elif await self._is_expected((host, traced.id)):
            await self._tell_answer(host, traced)

    def answered(self, host: str, traced: Traced) -> None:
        """What nobody asked this host, or waits for no more, is passed over."""
        answer = self._outstanding.get((host, traced.id))
        if answer is None or answer.done():
            return
        plain = {name: _plain(getattr(traced, name)) for name in ("stage", "actions", "error")}
        answer.set_result(msgspec.structs.replace(traced, sent=tuple(map(_plain, traced.sent[:16])), **plain))

    def _expect(self, host: str, id_: str) -> None:
        self._asked_elsewhere.add((host, id_))
        asyncio.get_running_loop().call_later(self._timeout_s + _CARRIED_S, self._asked_elsewhere.discard, (host, id_))
        self._news.set()
        self._news = asyncio.Event()

    async def _is_expected(self, asked: tuple[str, str]) -> bool:
        """Once. Whoever asks says so before, but that may be on its way yet."""
        if asked not in self._asked_elsewhere and self._unknown < _MOST_OUTSTANDING:
            self._unknown += 1
            try:
                async with asyncio.timeout(_CARRIED_S):
                    while asked not in self._asked_elsewhere:
                        await self._news.wait()
            except TimeoutError:
                return False
            finally:
                self._unknown -= 1
        expected = asked in self._asked_elsewhere
        self._asked_elsewhere.discard(asked)
        return expected

    async def _ask_here(self, link: Link, asked: Asked) -> Traced:
        if link.schema < (LOOKS_SINCE if isinstance(asked, Look) else QUESTIONS_SINCE):
            return Traced(asked.id, error="the host's agent is older and can't be asked")

        async def send() -> None:
            link.send(line(asked))

        traced = await self._answer(link.host, asked.id, send, self._timeout_s)
        return traced or Traced(asked.id, error=f"the host did not answer within {self._timeout_s:g} s")

    async def _answer(self, host: str, id_: str, send: Callable[[], Awaitable[None]], waited_s: float) -> Traced | None:
        """What is `answered` after `send`; None when that takes too long."""
        if len(self._outstanding) >= _MOST_OUTSTANDING:
            return Traced(id_, error="too many questions are waiting for answers")
        answer: asyncio.Future[Traced] = asyncio.get_running_loop().create_future()
        self._outstanding[host, id_] = answer
        try:
            async with asyncio.timeout(waited_s):
                await send()
                return await answer
        except TimeoutError:
            return None
        except CallerError as error:
            return Traced(id_, error=f"the other controllers can't be asked: {error.message}")
        finally:
            del self._outstanding[host, id_]

    async def _answer_other(self, link: Link, question: Asked) -> None:
        traced = await self._ask_here(link, question)
        await self._tell_answer(link.host, msgspec.structs.replace(traced, id=question.id))

    async def _tell_answer(self, host: str, traced: Traced) -> None:
        try:
            try:
                await self._tell(_Answered(host, traced))
            except BadRequest as error:
                await self._tell(_Answered(host, Traced(traced.id, error=f"the answer: {error.message}")))
        except CallerError as error:
            log.warning("answer_not_carried", host=host, reason=error.message)

    async def _tell(self, message: _Message) -> None:
        """Raises CallerError."""
        said = msgspec.json.encode(message)
        if len(said) > LONGEST_MESSAGE:
            raise BadRequest(f"it is longer than the {LONGEST_MESSAGE} bytes that one controller can tell another")
        await self._others.tell(said.decode())


def _read(message: str) -> _Message | None:
    """None for what another version says in other words."""
    try:
        found: _Message = msgspec.json.decode(message, type=_Message)
        return found
    except msgspec.MsgspecError:
        return None


def _plain(text: str) -> str:
    """A host's words as one short line: they get to people's terminals."""
    return "".join(each if each.isprintable() else " " for each in text[:_LONGEST])
