"""Captured and made-up datagrams, and a collector that takes them."""

import gzip
import struct
from collections.abc import Iterable
from pathlib import Path

from suimon.model.records import Batch
from suimon.telemetry.flow.collector import Collector
from suimon.telemetry.flow.datagrams import packed
from suimon.telemetry.flow.exporters import Allowed, Exporters

CAPTURES = Path(__file__).parents[2] / "captures"
NOW = 1_800_000_000.0
HOME = "192.0.2.1"


def captured(name: str) -> list[bytes]:
    """What Open vSwitch 3.1 with the userspace datapath sent about TCP, UDP, pings and IPv6 between two guests."""
    return [
        bytes.fromhex(line) for line in gzip.decompress((CAPTURES / f"{name}.hex.gz").read_bytes()).decode().split()
    ]


def collector(allowed: Allowed | None = None) -> Collector:
    return Collector(Exporters([allowed or Allowed("192.0.2.0/24")]))


def take(of: Collector, *payloads: bytes, now_s: float = NOW, source: str = HOME) -> Batch:
    return of.take(packed([(each, source) for each in payloads], now_s))


def ipfix(*sets: bytes, number: int = 0, domain: int = 1, at_s: float = NOW) -> bytes:
    body = b"".join(sets)
    return struct.pack("!HHIII", 10, 16 + len(body), int(at_s), number, domain) + body


def v9(*sets: bytes, number: int = 0, uptime_ms: int = 100_000, source: int = 1) -> bytes:
    return struct.pack("!HHIIII", 9, len(sets), uptime_ms, int(NOW), number, source) + b"".join(sets)


def one_set(number: int, body: bytes) -> bytes:
    return struct.pack("!HH", number, 4 + len(body)) + body


def template(number: int, *fields: tuple[int, int]) -> bytes:
    """An IPFIX template; an element above 0x8000 is an enterprise's."""
    return one_set(2, struct.pack("!HH", number, len(fields)) + specified(fields))


def options(number: int, scope: int, *fields: tuple[int, int]) -> bytes:
    return one_set(3, struct.pack("!HHH", number, len(fields), scope) + specified(fields))


def specified(fields: Iterable[tuple[int, int]]) -> bytes:
    return b"".join(struct.pack("!HH", *each) + b"\0\0\x1a\xdc" * (each[0] >= 0x8000) for each in fields)
