"""What the kernel says of devices: while they are there, and of those that went, what they counted last."""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import pytest

from suimon.dataplane.devices import Counted, Devices, _links

root = pytest.mark.skipif(os.geteuid() != 0, reason="makes network devices")
TAP: Final = "smdev0"
_TUNSETIFF: Final = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 0x2, 0x1000


class Guest:
    """Sends as a virtual machine does: its device ends with it."""

    def __init__(self) -> None:
        self._file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self._file, _TUNSETIFF, struct.pack("16sH22x", TAP.encode(), _IFF_TAP | _IFF_NO_PI))
        ip("link", "set", TAP, "addrgenmode", "none", "arp", "off", "up")
        self.ifindex = int((Path("/sys/class/net") / TAP / "ifindex").read_text())

    def send(self, frames: int) -> None:
        for _ in range(frames):
            os.write(self._file, bytes(12) + b"\x88\xb5" + bytes(86))

    def end(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file = -1


@pytest.fixture
def guest() -> Iterator[Guest]:
    made = Guest()
    yield made
    made.end()


def ip(*args: str) -> None:
    subprocess.run(["ip", *args], check=True)


@contextmanager
def bridge(name: str) -> Iterator[None]:
    ip("link", "add", name, "type", "bridge")
    try:
        yield
    finally:
        ip("link", "delete", name)


@asynccontextmanager
async def hearing() -> AsyncIterator[Devices]:
    devices = Devices()
    running = asyncio.ensure_future(devices.run())
    await asyncio.sleep(0)
    try:
        yield devices
    finally:
        running.cancel()


@root
def test_a_device_is_known_while_it_is_there_and_after(guest: Guest) -> None:
    async def scene() -> None:
        async with hearing() as devices:
            guest.send(7)
            assert devices.counted(guest.ifindex, TAP) == Counted(7, 0, 700, 0)
            assert devices.counted(guest.ifindex, "another") is None, "a number may be a later device's"
            guest.send(5)
            guest.end()
            assert devices.counted(guest.ifindex, TAP) == Counted(12, 0, 1200, 0)
            for _ in range(3):
                with bridge("smdevbr"):
                    pass
            await asyncio.sleep(0.05)
            assert devices.counted(guest.ifindex, TAP) == Counted(12, 0, 1200, 0)

    asyncio.run(scene())


@root
def test_who_leaves_a_bridge_is_not_gone(guest: Guest) -> None:
    async def scene() -> None:
        async with hearing() as devices:
            with bridge("smdevbr"):
                ip("link", "set", TAP, "master", "smdevbr")
                ip("link", "set", TAP, "nomaster")
            guest.send(3)
            guest.end()
            assert devices.counted(guest.ifindex, TAP) == Counted(3, 0, 300, 0)

    asyncio.run(scene())


def test_a_length_that_leads_nowhere_ends_what_was_said() -> None:
    assert list(_links(bytes(64))) == []


def test_to_hear_nothing_any_more_is_an_error() -> None:
    async def scene() -> None:
        async with hearing() as devices:
            os.close(devices._hearing.detach())
            with pytest.raises(OSError, match="Bad file descriptor"):
                devices.counted(1, "lo-that-is-not")

    asyncio.run(scene())


@root
def test_what_nobody_asks_for_is_bounded(monkeypatch: pytest.MonkeyPatch, guest: Guest) -> None:
    monkeypatch.setattr("suimon.dataplane.devices._MOST_GONE", 2)

    async def scene() -> None:
        async with hearing() as devices:
            guest.end()
            for _ in range(3):
                with bridge("smdevbr"):
                    pass
            assert devices.counted(guest.ifindex, TAP) is None

    asyncio.run(scene())
