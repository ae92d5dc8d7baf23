"""Threads that call functions for an event loop: what `concurrent.futures` does, in a tenth of the calls.

Its executor wraps each call into two futures, with locks and conditions for waiters of any kind. Here only event loops
wait, and a loop is told by `call_soon_threadsafe`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar, cast

T = TypeVar("T")
_Call = tuple[asyncio.AbstractEventLoop, asyncio.Future[Any], Callable[..., Any], tuple[Any, ...]]


class Threads:
    """At most so many threads of this name, until `close()`; another is started when all of them are at work.

    Few are better: each has a connection of its own, with what it has read and prepared.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most, self._name = most, name
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._under_way = 0
        """Calls that wait or are worked on, as the loop knows; those of a loop that was closed are counted for ever."""
        self._closed = False
        self._threads: list[Thread] = []

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """What `function` gives or raises. Cancelled before a thread took it, it is not called; later, it goes on."""
        if self._closed:
            raise RuntimeError("the threads are closed")
        self._under_way += 1
        if len(self._threads) < min(self._under_way, self._most):
            self._start()
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._calls.put((loop, future, function, arguments))
        return cast(T, await future)

    def close(self) -> None:
        """Waits for what is under way or waits."""
        self._closed = True
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()

    def _start(self) -> None:
        # A process may end with a store left open: what isn't committed then is undone, as by a kill.
        thread = Thread(target=self._work, name=f"{self._name}_{len(self._threads)}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            loop, future, function, arguments = call
            result, failure = None, None
            try:
                if not future.cancelled():
                    result = function(*arguments)
            except BaseException as error:
                failure = error
            with suppress(RuntimeError):  # The loop is closed: nobody waits any more.
                loop.call_soon_threadsafe(self._tell, future, result, failure)
            del call, future, function, arguments, result, failure

    def _tell(self, future: asyncio.Future[Any], result: object, failure: BaseException | None) -> None:
        self._under_way -= 1
        if future.done():
            return
        if failure is None:
            future.set_result(result)
        else:
            future.set_exception(failure)
