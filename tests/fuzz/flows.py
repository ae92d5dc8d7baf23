"""The decoders of flow records: what Open vSwitch sent, and forms that it doesn't use, mutated."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable
from typing import Any

import pytest

from bench import exports
from suimon.model.records import RECORD
from suimon.telemetry.flow import clocks, decoding, frames, layout, meaning, netflow5, sflow, templated, templates
from suimon.telemetry.flow.collector import Collector, _Reading
from suimon.telemetry.flow.exporters import Allowed, Exporters
from suimon.telemetry.flow.templates import DecodeError
from tests.fuzz.parsers import Parser
from tests.telemetry.flow import parts, test_collector, test_sflow

_TEMPLATED = (
    *(templated.sets, templated.header, templates.announced, templates._end, templates._checked),
    *(templates.Templates.changes, templates.Templates.learn, layout.fields, layout.least_bytes),
    *(layout.records, layout._uneven, layout._walk, layout._add, layout._number, layout.fits),
    *(meaning.meant, meaning._address, meaning._version, meaning._icmp, meaning.sampling, meaning.samplers),
    *(meaning.sampling_options, clocks.said, clocks._said, clocks._observed, clocks._by_uptime),
    *(Collector._templated, Collector._released, _Reading.decode, _Reading._decoded, _Reading._sample, _Reading._hold),
    *(_Reading._built_in, _Reading._read),
)


def flow_parsers() -> list[Parser]:
    return [_netflow5(), _templated(), _sflow()]


def _netflow5() -> Parser:
    valid = [*parts.captured("open_vswitch_netflow5"), *_made("v5")]
    return _parser("netflow5", valid, (netflow5.headers, netflow5.decode, Collector._netflow5, Collector._identified))


def _templated() -> Parser:
    """NetFlow v9 and IPFIX have one decoder."""
    return _parser("templated", [*_netflow9(), *_ipfix()], _TEMPLATED)


def _netflow9() -> list[bytes]:
    both = _v9_template((8, 4), (12, 4), (7, 2), (11, 2), (22, 4), (21, 4), (2, 3), (1, 8), (48, 1), (27, 16), (28, 16))
    return [
        *_made("v9"),
        parts.v9(both, parts.one_set(300, bytes(range(1, 78)) * 2)),
        parts.v9(
            _v9_template((80, 6), (56, 6), (150, 4), (151, 4), (32, 2), (60, 1), (23, 4), (24, 4), (50, 4), (4, 1))
        ),
        parts.v9(parts.one_set(300, bytes(range(1, 40)) * 4)),
        parts.v9(_v9_template((8, 4), (12, 4), (11, 2), (32, 2)), parts.one_set(300, (bytes(10) + b"\3\4") * 4)),
        parts.v9(_v9_template((27, 16), (28, 16), (139, 2), (1, 8)), parts.one_set(300, bytes(range(84)))),
        parts.v9(
            parts.one_set(1, struct.pack("!HHH", 301, 4, 8) + parts.specified([(1, 4), (48, 1), (50, 4)])),
            parts.one_set(301, struct.pack("!IBI", 0, 1, 100) + struct.pack("!IBI", 0, 2, 10)),
        ),
    ]


def _v9_template(*fields: tuple[int, int]) -> bytes:
    return parts.one_set(0, struct.pack("!HH", 300, len(fields)) + parts.specified(fields))


def _ipfix() -> list[bytes]:
    one, name = parts.one_set, (82, 0xFFFF)
    times = (((154, 8), (157, 8)), ((322, 4), (1, 4)), ((323, 8),), ((160, 8), (22, 4), (21, 4)), ((158, 4), (159, 4)))
    valid = [
        *parts.captured("open_vswitch_ipfix")[:45],
        *parts.captured("open_vswitch_ipfix_observer")[20:30],
        *_made("ipfix"),
        parts.ipfix(test_collector.FIVE, test_collector.RECORD),
        parts.ipfix(test_collector.SYSTEM_RATE, one(301, struct.pack("!II", 1, 64)), test_collector.RECORD),
        parts.ipfix(test_collector.SAMPLER, one(302, struct.pack("!QII", 7, 1, 99))),
        parts.ipfix(test_collector.SAMPLED, one(303, struct.pack("!QQQ", 5, 700, 7) * 3)),
        parts.ipfix(parts.template(304, name, (2, 5), (10, 4), name), one(304, b"\1a\0\0\0\0\7\0\0\0\3\xff\0\2bb" * 3)),
        parts.ipfix(parts.template(305, (8, 4), (27, 16), (28, 16), (12, 4), (139, 2)), one(305, bytes(84))),
        parts.ipfix(one(2, struct.pack("!HH", 300, 0)), one(3, struct.pack("!HH", 3, 0)), one(999, bytes(20))),
    ]
    # The first takes back what the second tells, so that records wait for it.
    valid += [
        parts.ipfix(one(2, struct.pack("!HH", 320, 0)), one(320, bytes(16))),
        parts.ipfix(parts.template(320, (2, 8), (1, 8))),
    ]
    return valid + [
        parts.ipfix(parts.template(310 + n, *fields), one(310 + n, bytes(range(100)))) for n, fields in enumerate(times)
    ]


def _sflow() -> Parser:
    flow, raw = test_sflow.flow, test_sflow.raw
    kinds = [mark.args[1] for mark in test_sflow.test_a_packet_is_read_to_its_ports.pytestmark if len(mark.args[1]) > 2]
    packets = [bytes(packet) for packet, _ in kinds[0]]
    vlans = b"\x88\xa8\0\1\x91\0\0\2\x81\0\0\3"
    valid = [
        *parts.captured("open_vswitch_sflow"),
        *_made("sflow"),
        *(test_sflow.datagram(flow(raw(packet)), test_sflow.expanded(raw(packet))) for packet in packets),
        test_sflow.datagram(flow(raw(packets[0][14:], 11)), flow(raw(packets[6][14:], 12))),
        test_sflow.datagram(flow(test_sflow.xdr(3, bytes(32))), flow(test_sflow.xdr(4, bytes(56)))),
        test_sflow.datagram(*[test_sflow.xdr(99, b"")] * 300),
        test_sflow.datagram(flow(*[test_sflow.xdr(99, b"")] * 40)),
        test_sflow.datagram(*(flow(raw(packets[0][: 14 + length])) for length in (19, 21, 23))),
        test_sflow.datagram(*map(flow, map(raw, (packets[6][:50], packets[10][:40], packets[0][:12] + vlans)))),
        test_sflow.datagram(*(test_sflow.expanded(raw(packets[0]), output=each) for each in ((1, 3), (0, 0xFFFFFFFF)))),
        test_sflow.datagram(flow(raw(bytes(test_sflow.SIX / bytes(8 * [60, 0, 0, 0, 0, 0, 0, 0])), 12))),
        test_sflow.datagram(flow(raw(packets[0])), agent=b"\0\0\0\2" + bytes(16)),
    ]
    functions = (
        *(sflow.decode, sflow._things, sflow._flows, sflow._Head.one_of, sflow._Head.interface, sflow._packets),
        *(sflow._plain, sflow._counters, sflow._count, sflow._counter, sflow.Samples.of, Collector._sflow),
        *(frames.parse, frames._ethernet, frames._ipv4, frames._ipv6, frames._ports),
    )
    return _parser("sflow", valid, functions)


def _made(protocol: str) -> list[bytes]:
    return [each.payload for each in exports.exported(protocol, exports.traffic(1, 60, exporters=1, since_s=parts.NOW))]


def _parser(name: str, valid: list[bytes], functions: tuple[Callable[..., Any], ...]) -> Parser:
    of, compiled = (Collector(Exporters([Allowed("192.0.2.0/24", open_vswitch=True)])) for _ in range(2))
    ticks = itertools.count()

    def parse(raw: bytes) -> bytes:
        now_s = parts.NOW + next(ticks) / 100
        losses = of.exporters.table[0].losses if of.exporters.table else None
        malformed = losses.malformed if losses else 0
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(decoding, "_LIBRARY", None)
            batch = parts.take(of, raw, now_s=now_s)
        rows = batch.rows().tobytes()
        assert parts.take(compiled, raw, now_s=now_s).rows().tobytes() == rows
        assert compiled.exporters.table[0].losses == of.exporters.table[0].losses
        assert (batch["begun"] <= batch["ended"]).all() and (batch["ended"] <= now_s + clocks.BOUND_S).all()
        assert (batch["ended"] - batch["begun"] <= clocks.LONGEST_S).all()
        if not len(batch) and of.exporters.table[0].losses.malformed > malformed:
            raise DecodeError("counted as malformed")
        return rows

    # What waited for a template comes with it: at most a mebibyte, in records of eight bytes each.
    return Parser(name, valid, parse, (DecodeError,), functions, most_bytes=(1 << 17) * RECORD.itemsize)
