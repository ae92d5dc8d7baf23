"""Being told to end while something goes wrong."""

import asyncio


def unless_ended() -> None:
    """Raises CancelledError if this task was told to end; for whoever tries again what a TaskGroup failed at.

    A group that is cancelled just as one of its tasks fails tells the failure only (until Python 3.13), and the task
    that waited for it would go on for ever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
