"""Real sockets: every datagram arrives with its source, and what didn't fit is counted."""

import asyncio
import socket
import time
from collections.abc import Sequence

import numpy as np
import pytest

from suimon.telemetry.flow.datagrams import SLACK, Datagrams
from suimon.telemetry.flow.receiver import SHORTEST_NAP_S, Config, Receiver, next_nap_s
from suimon.telemetry.flow.receiving import AT_ONCE, Room

TIMEOUT_S = 20.0


class Kept:
    """Copies of what came, and an event for when so many have come."""

    def __init__(self, expected: int) -> None:
        self.got: list[tuple[bytes, int, int, bool, float]] = []
        self._expected, self.complete = expected, asyncio.Event()

    def __call__(self, datagrams: Datagrams) -> None:
        flat, begins, lengths, cut, high, low, arrived = datagrams
        assert len(flat) >= begins[-1] + lengths[-1] + SLACK
        for at in range(len(lengths)):
            payload = flat[begins[at] : begins[at] + lengths[at]].tobytes()
            self.got.append((payload, int(high[at]), int(low[at]), bool(cut[at]), float(arrived[at])))
        if len(self.got) >= self._expected:
            self.complete.set()


async def received(payloads: list[bytes], listen: str = "127.0.0.1", source: str = "127.0.0.9") -> Kept:
    kept = Kept(len(payloads))
    receiver = Receiver(Config(((listen, 0),), nap_s=0.001), kept, lambda: 42.0)
    receiver.open()
    running = asyncio.create_task(receiver.run())
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.bind((source, 0))
        for payload in payloads:
            sender.sendto(payload, ("::1" if ":" in source else "127.0.0.1", receiver.addresses[0][1]))
    async with asyncio.timeout(TIMEOUT_S):
        await kept.complete.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert receiver.lost == 0
    return kept


@pytest.mark.parametrize("listen", ["127.0.0.1", "::"])
def test_every_datagram_comes_with_its_source(listen: str) -> None:
    payloads = [bytes([n % 251]) * (n % 1400) for n in range(AT_ONCE + 200)]
    kept = asyncio.run(received(payloads, listen))
    assert [got[:4] for got in kept.got] == [(payload, 0, 0x7F000009, False) for payload in payloads]
    assert all(42.0 - TIMEOUT_S <= got[4] <= 42.0 for got in kept.got)


def test_long_datagrams_are_whole_and_longer_ones_are_cut() -> None:
    payloads = [bytes(np.random.default_rng(1).bytes(size)) for size in (10, 1536, 1537, 9000, 9216, 9217, 60_000, 20)]
    kept = asyncio.run(received(payloads))
    assert [(got[0], got[3]) for got in kept.got] == [(payload[:9216], len(payload) > 9216) for payload in payloads]


def test_this_machine_has_one_address_in_both_families() -> None:
    assert {got[1:3] for got in asyncio.run(received([b"x"], "::", "::1")).got} == {(0, 0x7F000001)}


def read(receiver: Receiver, pauses_s: Sequence[float]) -> None:
    """After datagrams with such pauses behind each."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for pause_s in pauses_s:
            sender.sendto(b"x", receiver.addresses[0])
            time.sleep(pause_s)
    receiver.receive()
    receiver.close()


def test_what_waited_for_the_reader_arrived_before() -> None:
    kept = Kept(3)
    receiver = Receiver(Config((("127.0.0.1", 0),)), kept, lambda: 42.0)
    receiver.open()
    began = time.monotonic()
    read(receiver, (0.3, 0.1, 0.0))
    took_s = time.monotonic() - began
    first, second, third = (got[4] for got in kept.got)
    assert 42.0 - took_s <= first < second < third <= 42.0
    assert second - first > 0.29 and third - second > 0.09  # Less than was slept: clocks are slewed.


@pytest.mark.parametrize("by_s", [-3600.0, 3600.0])
def test_a_clock_that_was_set_meanwhile_makes_nothing_old(by_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, ahead_ns = Kept(1), int(by_s * 1e9)
    receiver = Receiver(Config((("127.0.0.1", 0),)), kept, lambda: 42.0)
    receiver.open()
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + ahead_ns)
    read(receiver, (0.0,))
    assert [got[4] for got in kept.got] == [42.0]


def test_after_a_silence_it_hears_again() -> None:
    """While datagrams come it isn't told of them: it looks."""

    async def heard() -> list[tuple[int, int]]:
        loop, news, got = asyncio.get_running_loop(), asyncio.Event(), list[tuple[int, int]]()

        def listens() -> int:
            return len(loop._selector.get_map()) - 1  # type: ignore[attr-defined]  # One is the loop's own.

        def sink(datagrams: Datagrams) -> None:
            got.append((len(datagrams.lengths), listens()))
            news.set()

        receiver = Receiver(Config((("127.0.0.1", 0),), nap_s=0.001), sink, lambda: 42.0)
        receiver.open()
        running = asyncio.create_task(receiver.run())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            async with asyncio.timeout(20):
                for _ in range(3):
                    while not listens():  # noqa: ASYNC110  (the loop tells nobody)
                        await asyncio.sleep(0)
                    sender.sendto(b"x", receiver.addresses[0])
                    await news.wait()
                    news.clear()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return got

    assert asyncio.run(heard()) == [(1, 0)] * 3


def test_what_comes_first_is_read_soon() -> None:
    """Nobody knows then how many follow: in the longest nap a buffer may get full."""

    async def heard() -> None:
        news = asyncio.Event()
        receiver = Receiver(Config((("127.0.0.1", 0),), nap_s=1000.0), lambda _: news.set(), lambda: 42.0)
        running = asyncio.create_task(receiver.run())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            async with asyncio.timeout(20):
                while not receiver.addresses:  # noqa: ASYNC110  (it opens by itself)
                    await asyncio.sleep(0)
                sender.sendto(b"x", receiver.addresses[0])
                await news.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(heard())


def test_what_had_no_room_is_counted() -> None:
    got: list[int] = []
    receiver = Receiver(Config((("127.0.0.1", 0),), buffer_bytes=65536), lambda d: got.append(len(d.lengths)), float)
    receiver.open()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(1000):
            sender.sendto(bytes(1000), receiver.addresses[0])
    while receiver.receive():
        continue
    assert 0 < sum(got) < 1000 and sum(got) + receiver.lost == 1000
    receiver.close()
    assert sum(got) + receiver.lost == 1000


@pytest.mark.parametrize("rate", [5_000, 10_000, 50_000])
def test_what_gathers_is_one_batch(rate: int) -> None:
    nap_s, busy_s, taken = 0.4, 0.03, 0
    for _ in range(5):
        taken = int(rate * (nap_s + busy_s))
        nap_s = next_nap_s(nap_s, nap_s + busy_s, taken)
    assert 0.8 * AT_ONCE < taken <= AT_ONCE


def test_it_never_sleeps_shorter_and_longer_while_nothing_comes() -> None:
    assert next_nap_s(0.05, 0.08, 10 * AT_ONCE) == SHORTEST_NAP_S
    assert next_nap_s(0.05, 0.08, 0) > 1


def test_an_address_that_is_taken_is_an_error() -> None:
    receiver = Receiver(Config((("127.0.0.1", 0), ("203.0.113.1", 0))), lambda _: None, float)
    with pytest.raises(OSError, match="assign"):
        receiver.open()
    assert receiver.addresses == []


def test_a_socket_in_trouble_is_an_error() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as source,
        pytest.raises(OSError, match=r"receiving flow records: .* not connected"),
    ):
        Room().take(source, 42.0)
