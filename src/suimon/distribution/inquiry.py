"""Questions to hosts over their open streams, and the answers that come back: few at a time, none waited for long.

A host is asked by the controller's process that it is linked to, and answers to the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final
from uuid import uuid4

import msgspec

from suimon.distribution.frames import line
from suimon.distribution.links import Link
from suimon.model.view import DROPS, PROBES, QUESTIONS, CountDrops, Question, Traced

_MOST_OUTSTANDING: Final = 32
_LONGEST: Final = 2000


class Questions:
    """`ask` sends one to a host; the listener hands what it answers to `answered`."""

    def __init__(self, timeout_s: float, link: Callable[[str], Link | None]) -> None:
        self._timeout_s = timeout_s
        self._link = link
        self._outstanding: dict[tuple[str, str], asyncio.Future[Traced]] = {}

    async def ask(self, host: str, question: Question | CountDrops) -> Traced:
        """With an `error` in words when the host can't be asked or doesn't answer. The question gets an id here."""
        link = self._link(host)
        if link is None:
            return Traced("", error="the host has no line to this controller")
        if _needed(question) not in link.capabilities:
            return Traced("", error="the host's agent is older and can't be asked")
        if len(self._outstanding) >= _MOST_OUTSTANDING:
            return Traced("", error="too many questions are waiting for answers")
        asked = msgspec.structs.replace(question, id=uuid4().hex)
        answer: asyncio.Future[Traced] = asyncio.get_running_loop().create_future()
        self._outstanding[host, asked.id] = answer
        try:
            link.send(line(asked))
            async with asyncio.timeout(self._timeout_s):
                return await answer
        except TimeoutError:
            return Traced(asked.id, error=f"the host did not answer within {self._timeout_s:g} s")
        finally:
            del self._outstanding[host, asked.id]

    def answered(self, host: str, traced: Traced) -> None:
        """What nobody asked this host, or waits for no more, is passed over."""
        answer = self._outstanding.get((host, traced.id))
        if answer is None or answer.done():
            return
        plain = {name: _plain(getattr(traced, name)) for name in ("stage", "actions", "error")}
        answer.set_result(msgspec.structs.replace(traced, sent=tuple(map(_plain, traced.sent[:16])), **plain))


def _needed(question: Question | CountDrops) -> str:
    """The capability of those who understand it."""
    if isinstance(question, CountDrops):
        return DROPS
    return QUESTIONS if question.act == "trace" else PROBES


def _plain(text: str) -> str:
    """A host's words as one short line: they get to people's terminals."""
    return "".join(each if each.isprintable() else " " for each in text[:_LONGEST])
