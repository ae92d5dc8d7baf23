"""Threads that call functions for an event loop: what comes back, and what happens to who doesn't wait any more."""

import asyncio
import threading

import pytest

from suimon.store.threads import Threads


def test_results_and_errors_come_back() -> None:
    async def body() -> None:
        threads = Threads(2, "test")
        assert await threads.call(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await threads.call(divmod, 1, 0)
        names = await asyncio.gather(*(threads.call(lambda: threading.current_thread().name) for _ in range(20)))
        assert set(names) <= {"test_0", "test_1"}
        threads.close()

    asyncio.run(body())


def test_a_thread_is_started_when_all_others_are_at_work() -> None:
    async def body() -> None:
        threads = Threads(3, "test")
        together = threading.Barrier(3)
        for _ in range(5):
            assert await threads.call(lambda: threading.current_thread().name) == "test_0"
        await asyncio.gather(*(threads.call(together.wait, 10) for _ in range(3)))
        assert len(threads._threads) == 3
        threads.close()

    asyncio.run(body())


def test_who_leaves_early_is_not_called_for_and_who_leaves_late_does_not_stop_it() -> None:
    async def body() -> None:
        threads = Threads(1, "test")
        begun, go_on, called = threading.Event(), threading.Event(), []

        def first() -> None:
            begun.set()
            go_on.wait(10)
            called.append("first")

        running = asyncio.create_task(threads.call(first))
        waiting = asyncio.create_task(threads.call(called.append, "second"))
        await asyncio.to_thread(begun.wait, 10)
        for task in (running, waiting):
            task.cancel()
        await asyncio.wait([running, waiting])
        go_on.set()
        await threads.call(called.append, "third")
        assert running.cancelled()
        assert waiting.cancelled()
        assert called == ["first", "third"]
        threads.close()

    asyncio.run(body())


def test_closing_waits_for_what_waits_and_nothing_comes_after() -> None:
    async def body() -> None:
        threads = Threads(1, "test")
        begun, go_on, called = threading.Event(), threading.Event(), []
        tasks = [
            asyncio.create_task(threads.call(lambda: (begun.set(), go_on.wait(10)))),
            asyncio.create_task(threads.call(called.append, "waited")),
        ]
        await asyncio.to_thread(begun.wait, 10)
        closing = asyncio.create_task(asyncio.to_thread(threads.close))
        go_on.set()
        await asyncio.gather(closing, *tasks)
        assert called == ["waited"]
        with pytest.raises(RuntimeError, match="closed"):
            await threads.call(called.append, "late")

    asyncio.run(body())


def test_a_loop_that_is_closed_is_told_nothing() -> None:
    threads = Threads(1, "test")
    begun, go_on = threading.Event(), threading.Event()

    async def leave() -> None:
        task = asyncio.create_task(threads.call(lambda: (begun.set(), go_on.wait(10))))
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()

    asyncio.run(leave())
    go_on.set()
    assert asyncio.run(threads.call(lambda: "still there")) == "still there"
    threads.close()
