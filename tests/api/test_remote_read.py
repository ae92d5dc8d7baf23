"""Prometheus reads back what was metered: requests as its version 2.42 sent them, answers as it understood them."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from suimon.api.gate import Gate
from suimon.api.metrics import Metrics
from suimon.api.prompb import Matcher, Query, answered, queries
from suimon.api.snappy import SnappyError, packed, unpacked, varint
from suimon.model.counts import Metered
from tests.api.cloud import Cloud
from tests.api.test_usage import LAST_S, meters

SHOWN = {"authorization": "Bearer told-to-prometheus"}
LAST_MS = round(LAST_S * 1000)
OUT = "suimon_metered_out_bytes"
INSTANT = bytes.fromhex(
    "52f0510a5008e0c783c3b13410c0ef95c3b1341a0a1204706f72741a0270311a2412085f5f6e616d655f5f1a18737569"
    "6d6f6e5f6d6574657265645f6f75745f6279746573220e18e0c783c3b13420c0ef95c3b134"
)
"""suimon_metered_out_bytes{port="p1"} at LAST_S."""
RANGE = bytes.fromhex(
    "73f0720a7108c0b5debfb13410c0ef95c3b1341a25080212085f5f6e616d655f5f1a177375696d6f6e5f6d6574657265"
    "645f2e2a5f62797465731a160802120770726f6a6563741a097265647c677265656e2222120d73756d5f6f7665725f74"
    "696d6518c0b5debfb13420c0ef95c3b1343880bab703"
)
"""sum_over_time({__name__=~"suimon_metered_.*_bytes",project=~"red|green"}[2h]) at LAST_S."""
SQUEEZED = bytes.fromhex("f401187375696d6f6e20fe070032070008616263fe03005a0300f045" + bytes(range(70)).hex())
"""What Google's library makes of three kinds of repetition."""
Told = dict[str, list[tuple[int, float]]]


@pytest.fixture
def metered(cloud: Cloud, tmp_path: Path) -> Cloud:
    whose = {"p1": Metered("red", "shared"), "p2": Metered("blue", "shared")}
    cloud.services["metrics"] = Metrics(Gate(cloud.store, cloud.clock), meters(tmp_path, whose), "told-to-prometheus")
    return cloud


def read(cloud: Cloud, request: bytes) -> Told:
    """By name and port, what Prometheus would take of the answer."""
    answer = cloud.call("POST", "/metrics/read", request, headers=SHOWN)
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "application/x-protobuf"
    assert answer.headers["content-encoding"] == "snappy"
    ((_, result),) = parts(unpacked(answer.body, 1 << 24))
    found = {}
    for _, series in parts(result):
        labels = {bytes(dict(parts(each))[1]): dict(parts(each))[2].decode() for at, each in parts(series) if at == 1}
        values = [value(each) for at, each in parts(series) if at == 2]
        found[f"{labels[b'__name__']} {labels[b'port']} {labels[b'project']} {labels[b'host']}"] = values
    return found


def parts(message: bytes) -> list[tuple[int, bytes]]:
    """Fields that are messages or texts."""
    found, at = [], 0
    while at < len(message):
        length, begin = varint(message, at + 1)
        found.append((message[at] >> 3, message[begin : begin + length]))
        at = begin + length
    return found


def value(sample: bytes) -> tuple[int, float]:
    return varint(sample, 10)[0], struct.unpack_from("<d", sample, 1)[0]


def request(query: bytes) -> bytes:
    return packed(b"\x0a" + bytes([len(query)]) + query)


def test_the_latest_values_of_a_port(metered: Cloud) -> None:
    told = read(metered, INSTANT)
    assert told.keys() == {f"{OUT} p1 red hv1"}
    assert told[f"{OUT} p1 red hv1"] == [(LAST_MS - 10_000 * (60 - at), 1000.0 * at) for at in range(31, 61)]


def test_sums_over_a_time_are_what_was_metered(metered: Cloud) -> None:
    told = read(metered, RANGE)
    whole = sum(1000 * at for at in range(61))
    assert len(told) == 6 and all(name.split()[1:3] == ["p1", "red"] for name in told)
    assert sum(each for _, each in told[f"{OUT} p1 red hv1"]) == whole
    assert sum(each for _, each in told["suimon_metered_in_bytes p1 red hv1"]) == 2 * whole


def test_whoever_has_not_the_token_reads_nothing(metered: Cloud) -> None:
    assert metered.call("POST", "/metrics/read", INSTANT).status == 401
    assert metered.call("POST", "/metrics/read", INSTANT, headers={"authorization": "Bearer guess"}).status == 401
    assert metered.call("GET", "/metrics/read", headers=SHOWN).status == 404
    anna = metered.account("anna")
    assert metered.call("POST", "/metrics/read", INSTANT, token=anna.token).status == 403


@pytest.mark.parametrize("pattern", ["(a+)+$", "[a-z]*", ".*.*.*.*.*", "(a|b)(a|b)(a|b)", "(a", "x" * 5000])
def test_expressions_that_may_take_for_ever_are_refused(metered: Cloud, pattern: str) -> None:
    text = pattern.encode()
    length = bytes([len(text) & 0x7F | 0x80, len(text) >> 7])
    matcher = b"\x08\x02\x12\x04port\x1a" + length + text
    query = b"\x1a" + bytes([len(matcher) & 0x7F | 0x80, len(matcher) >> 7]) + matcher
    sent = packed(b"\x0a" + bytes([len(query) & 0x7F | 0x80, len(query) >> 7]) + query)
    answer = metered.call("POST", "/metrics/read", sent, headers=SHOWN)
    assert answer.status == 400 and b"regular expression" in answer.body


def test_a_time_of_too_many_values_is_refused(metered: Cloud) -> None:
    answer = metered.call("POST", "/metrics/read", request(b"\x10\x80\x80\xf0\xc3\xb1\x34"), headers=SHOWN)
    assert answer.status == 400 and b"shorter time" in answer.body


@pytest.mark.parametrize("body", [b"", b"\x05\x00a", b"\xff" * 12, INSTANT[:-1], packed(b"\x0f"), packed(b"\x0a\x05a")])
def test_what_is_no_request_is_refused(metered: Cloud, body: bytes) -> None:
    assert metered.call("POST", "/metrics/read", body, headers=SHOWN).status == 400


def test_messages_as_protocol_buffers_have_them() -> None:
    (query,) = queries(unpacked(RANGE, 1000))
    assert query == Query(
        LAST_MS - 7_200_000,
        LAST_MS,
        (Matcher(2, "__name__", "suimon_metered_.*_bytes"), Matcher(2, "project", "red|green")),
        range_ms=7_200_000,
    )
    assert answered([[({"a": "b"}, [(1000, 1.5)])], []]).hex() == (
        "0a18" "0a16" "0a06" "0a0161" "120162" "120c" "09000000000000f83f" "10e807" "0a00"
    )  # fmt: skip


def test_blocks_as_snappy_packs_them() -> None:
    plain = b"suimon " * 12 + b"abc" * 30 + bytes(range(70))
    assert unpacked(SQUEEZED, 1000) == plain
    assert unpacked(packed(plain), 1000) == plain and unpacked(packed(b""), 0) == b""
    with pytest.raises(SnappyError):
        unpacked(SQUEEZED, 200)
