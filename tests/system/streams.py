"""How much of a TCP connection arrives that sends all that it may."""

from __future__ import annotations

import contextlib
import socket
import time


def streamed(near: socket.socket, far: socket.socket, lasts_s: float = 2.0) -> tuple[int, float]:
    """How many bytes arrived, and in what time. Both ends are closed then."""
    received, started = 0, time.monotonic()
    with near, far:
        near.setblocking(False)
        far.settimeout(0.05)
        while (lasted_s := time.monotonic() - started) < lasts_s:
            with contextlib.suppress(BlockingIOError):
                near.send(bytes(1 << 16))
            with contextlib.suppress(TimeoutError):
                received += len(far.recv(1 << 16))
    return received, lasted_s
