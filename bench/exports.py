"""Datagrams of NetFlow v5, v9, IPFIX and sFlow v5 with traffic that is known: what a collector should have found.

A flow is of one cloud port, (exporter, interface), with a peer outside. Everything follows from the seed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

PROTOCOLS: Final = ("v5", "v9", "ipfix", "sflow")
FIRST_INTERFACE: Final = 1000
SAMPLING: Final = 64
"""1 of so many packets, for sFlow; the others see all."""
_BOOTED_MS: Final = 100_000_000
_ROOM_BYTES: Final = 1400
_GUESTS, _PEERS = 0x0A400000, 0x64400000

FLOW: Final = np.dtype(
    [
        *(("exporter", "u4"), ("interface", "u4"), ("out", "?"), ("begun_ms", "i8"), ("ended_ms", "i8")),
        *(("source", "u4"), ("destination", "u4"), ("source_port", "u2"), ("destination_port", "u2")),
        *(("protocol", "u1"), ("tcp_flags", "u1"), ("packets", "u8"), ("bytes", "u8")),
    ]
)
_V5: Final = np.dtype(
    [
        *(("source", ">u4"), ("destination", ">u4"), ("hop", ">u4"), ("input", ">u2"), ("output", ">u2")),
        *(("packets", ">u4"), ("bytes", ">u4"), ("begun", ">u4"), ("ended", ">u4")),
        *(("source_port", ">u2"), ("destination_port", ">u2"), ("pad", "u1"), ("tcp_flags", "u1"), ("protocol", "u1")),
        *(("service", "u1"), ("systems", ">u4"), ("masks", ">u4")),
    ]
)
_ELEMENTS: Final = (
    *(("source", 8, 4), ("destination", 12, 4), ("input", 10, 4), ("output", 14, 4), ("packets", 2, 8)),
    *(("bytes", 1, 8), ("begun", 22, 4), ("ended", 21, 4), ("source_port", 7, 2), ("destination_port", 11, 2)),
    *(("protocol", 4, 1), ("tcp_flags", 6, 1)),
)
_IPFIX_TIMES: Final = {22: (152, 8), 21: (153, 8)}
_SAMPLE: Final = np.dtype(
    [
        *(
            (name, ">u4")
            for name in ("kind", "size", "number", "source_id", "rate", "pool", "drops", "input", "output")
        ),
        *((name, ">u4") for name in ("records", "format", "length", "header", "frame", "stripped", "header_bytes")),
        *(("destination_mac", "V6"), ("source_mac", "V6"), ("ether_type", ">u2"), ("version", "u1"), ("service", "u1")),
        *(("total", ">u2"), ("id", ">u2"), ("fragment", ">u2"), ("ttl", "u1"), ("protocol", "u1"), ("sum", ">u2")),
        *(("source", ">u4"), ("destination", ">u4"), ("source_port", ">u2"), ("destination_port", ">u2")),
        *(("number_tcp", ">u4"), ("acknowledged", ">u4"), ("offset", "u1"), ("tcp_flags", "u1"), ("rest", "V16")),
    ]
)


class Sent(NamedTuple):
    """A datagram: from which exporter, how many records are in it."""

    exporter: int
    records: int
    payload: bytes


def traffic(
    seed: int, count: int, exporters: int = 8, ports: int = 2000, since_s: float = 0.0, per_s: int = 10_000
) -> NDArray[np.void]:
    """Ordinary flows of a cloud, in the order in which they ended, about `per_s` a second."""
    chance = np.random.default_rng(seed)
    flows: NDArray[np.void] = np.zeros(count, FLOW)
    port = (ports * chance.random(count) ** 2).astype(np.int64)
    flows["exporter"], flows["interface"] = port % exporters, FIRST_INTERFACE + port // exporters
    flows["ended_ms"] = int(since_s * 1000) + np.sort(chance.integers(0, max(count * 1000 // per_s, 1), count))
    flows["begun_ms"] = flows["ended_ms"] - np.minimum(chance.exponential(2000, count), 60_000).astype(np.int64)
    flows["out"] = out = chance.random(count) < 0.5
    guest, peer = _GUESTS + port, _PEERS + chance.zipf(1.3, count) * 2654435761 % (1 << 22)
    flows["source"], flows["destination"] = np.where(out, guest, peer), np.where(out, peer, guest)
    service = chance.choice([443, 80, 53, 22, 25, 3306], count, p=[0.45, 0.15, 0.25, 0.05, 0.05, 0.05])
    client = chance.integers(32768, 61000, count)
    flows["source_port"], flows["destination_port"] = np.where(out, client, service), np.where(out, service, client)
    flows["protocol"] = np.where(service == 53, 17, 6)
    flows["tcp_flags"] = np.where(service == 53, 0, 0x1B)
    flows["packets"] = np.minimum(1 + chance.pareto(1.3, count) * 6, 20_000).astype(np.uint64)
    flows["bytes"] = flows["packets"] * chance.integers(64, 1400, count).astype(np.uint64)
    return flows


def sampled(flows: NDArray[np.void]) -> NDArray[np.void]:
    """What sFlow tells of them: of each flow one packet, which stands for SAMPLING."""
    found = flows.copy()
    found["bytes"] = np.clip(flows["bytes"] // flows["packets"], 64, 1500) * SAMPLING
    found["packets"] = SAMPLING
    return found


def exported(protocol: str, flows: NDArray[np.void]) -> Iterator[Sent]:
    """Datagrams as exporters would send them, each exporter's in order; a second of records at a time in turn."""
    encoder = {"v5": _v5, "v9": _v9, "ipfix": _ipfix, "sflow": _sflow}[protocol]
    queues = [encoder(flows[flows["exporter"] == each], int(each)) for each in np.unique(flows["exporter"])]
    while queues:
        left = []
        for queue in queues:
            if (sent := next(queue, None)) is not None:
                yield sent
                left.append(queue)
        queues = left


def _v5(flows: NDArray[np.void], exporter: int) -> Iterator[Sent]:
    rows = _filled(flows, _V5, _BOOTED_MS - _first_ms(flows))
    number = 0
    for at in range(0, len(rows), 30):
        some, ms = rows[at : at + 30], int(flows["ended_ms"][min(at + 30, len(rows)) - 1])
        uptime = _BOOTED_MS - _first_ms(flows) + ms
        head = struct.pack(
            "!HHIIIIBBH", 5, len(some), uptime, ms // 1000, ms % 1000 * 1_000_000, number, 0, exporter, 0
        )
        number += len(some)
        yield Sent(exporter, len(some), head + some.tobytes())


def _first_ms(flows: NDArray[np.void]) -> int:
    return int(flows["ended_ms"][0]) if len(flows) else 0


def _v9(flows: NDArray[np.void], exporter: int) -> Iterator[Sent]:
    return _templated(flows, exporter, 9)


def _ipfix(flows: NDArray[np.void], exporter: int) -> Iterator[Sent]:
    return _templated(flows, exporter, 10)


def _templated(flows: NDArray[np.void], exporter: int, version: int) -> Iterator[Sent]:
    elements = [(name, *(_IPFIX_TIMES.get(e, (e, n)) if version == 10 else (e, n))) for name, e, n in _ELEMENTS]
    spec = b"".join(struct.pack("!HH", element, size) for _, element, size in elements)
    template = struct.pack("!HHHH", 0 if version == 9 else 2, 8 + len(spec), 256, len(elements)) + spec
    layout = np.dtype([(name, f">u{size}") for name, _, size in elements])
    uptime = _BOOTED_MS - _first_ms(flows) if version == 9 else 0
    rows = _filled(flows, layout, uptime)
    per, number = _ROOM_BYTES // layout.itemsize, 0
    for turn, at in enumerate(range(0, len(rows), per)):
        some, ms = rows[at : at + per], int(flows["ended_ms"][min(at + per, len(rows)) - 1])
        # Rounded up: a header in whole seconds must not lie before its records.
        second = -(-ms // 1000)
        for body, count in [(template, 0)] * (turn % 50 == 0) + [(_data(some), len(some))]:
            if version == 9:
                head = struct.pack("!HHIIII", 9, max(count, 1), uptime + second * 1000, second, number, exporter)
                number += 1
            else:
                head = struct.pack("!HHIII", 10, 16 + len(body), second, number, exporter)
                number += count
            yield Sent(exporter, count, head + body)


def _data(rows: NDArray[np.void]) -> bytes:
    body = rows.tobytes()
    padding = -len(body) % 4
    return struct.pack("!HH", 256, 4 + len(body) + padding) + body + bytes(padding)


def _filled(flows: NDArray[np.void], layout: np.dtype[Any], uptime_ms: int) -> NDArray[np.void]:
    rows: NDArray[np.void] = np.zeros(len(flows), layout)
    for name in (
        "source",
        "destination",
        "source_port",
        "destination_port",
        "packets",
        "bytes",
        "protocol",
        "tcp_flags",
    ):
        rows[name] = flows[name]
    rows["input"], rows["output"] = _interfaces(flows)
    rows["begun"], rows["ended"] = flows["begun_ms"] + uptime_ms, flows["ended_ms"] + uptime_ms
    return rows


def _interfaces(flows: NDArray[np.void]) -> tuple[NDArray[Any], NDArray[Any]]:
    return np.where(flows["out"], flows["interface"], 1), np.where(flows["out"], 1, flows["interface"])


def _sflow(flows: NDArray[np.void], exporter: int) -> Iterator[Sent]:
    rows: NDArray[np.void] = np.zeros(len(flows), _SAMPLE)
    size = np.clip(flows["bytes"] // np.maximum(flows["packets"], 1), 64, 1500)
    for name in ("source", "destination", "source_port", "destination_port", "protocol", "tcp_flags"):
        rows[name] = flows[name]
    rows["input"], rows["output"] = _interfaces(flows)
    constants = {
        **{"kind": 1, "size": _SAMPLE.itemsize - 8, "rate": SAMPLING, "records": 1, "format": 1, "header": 1},
        **{"length": 16 + 64, "stripped": 4, "header_bytes": 64, "ether_type": 0x0800, "version": 0x45, "ttl": 63},
        "offset": 0x50,
    }
    for name, value in constants.items():
        rows[name] = value
    rows["number"] = np.arange(1, len(rows) + 1)
    rows["pool"], rows["frame"], rows["total"] = rows["number"].astype(np.int64) * SAMPLING, size + 4, size - 14
    per = _ROOM_BYTES // _SAMPLE.itemsize
    for turn, at in enumerate(range(0, len(rows), per)):
        some = rows[at : at + per]
        head = struct.pack("!7I", 5, 1, 0x7F00000A + exporter, 0, turn, _BOOTED_MS + turn, len(some))
        yield Sent(exporter, len(some), head + some.tobytes())
