"""Work in other network namespaces than the agent's own, by threads that go there and end there."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

_CLONE_NEWNET: Final = 0x40000000
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def apart(work: Callable[[], T]) -> T:
    """What `work` returns or raises in a thread of its own, in which it may `enter`; the caller waits for it."""
    results: list[T] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="inside")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def enter(namespace: int) -> None:
    """From now on this thread, which is none that others use, is in that network namespace. Raises OSError."""
    if _LIBC.setns(namespace, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")


def in_namespace(namespace: int, work: Callable[[], T]) -> T:
    """What `work` returns or raises there."""

    def there() -> T:
        enter(namespace)
        return work()

    return apart(there)
