"""Work done in a namespace by this process: a thread goes there, because only a thread can go alone."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def inside(namespace: str, work: Callable[[], T]) -> T:
    """What `work` returns, or raises, in the network namespace of this name. Sockets that it makes stay there."""

    def there() -> T:
        with Path("/run/netns", namespace).open() as opened:
            assert ctypes.CDLL(None).setns(opened.fileno(), 0) == 0
        return work()

    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(there).result()
