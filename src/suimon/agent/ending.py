"""Being told to end while something goes wrong."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def apart(work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives or raises, for whoever tries again what failed. Who is cancelled meanwhile is, whatever becomes
    of the work.

    In one's own task a TaskGroup that is cancelled just as one of its tasks fails would tell the failure only (until
    Python 3.13), and whoever waited for it would go on for ever.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
    return task.result()
