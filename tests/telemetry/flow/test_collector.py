"""Datagrams become records or counted losses: templates, sampling, clocks, strangers."""

import struct

import numpy as np
import pytest

from bench import exports
from suimon.model.records import joined, scaled
from suimon.telemetry.flow.datagrams import packed
from suimon.telemetry.flow.exporters import MOST_STREAMS, Allowed
from suimon.telemetry.flow.templates import MOST_PER_STREAM, DecodeError
from tests.telemetry.flow.parts import HOME, NOW, collector, ipfix, one_set, options, specified, take, template, v9

COUNTS = ((2, 8), (1, 8))
"""packetDeltaCount, octetDeltaCount."""
FIVE = template(300, *COUNTS)
RECORD = one_set(300, struct.pack("!QQ", 5, 700))


@pytest.mark.parametrize("protocol", exports.PROTOCOLS)
def test_what_was_sent_is_what_is_found(protocol: str) -> None:
    flows = exports.traffic(3, 5000, exporters=8, ports=100, since_s=NOW)
    sent = list(exports.exported(protocol, flows))
    of = collector(Allowed("127.0.0.0/8"))
    every = [(each.payload, f"127.0.0.{each.exporter}") for each in sent]
    batch = joined([of.take(packed(every[at : at + 100], NOW + 1)) for at in range(0, len(every), 100)])
    # Places in the collector's table are in the order of appearance.
    numbers = np.array([int(each.address) & 0xFF for each in of.exporters.table])
    truth = exports.sampled(flows) if protocol == "sflow" else flows
    for told, true in (
        (batch["packets"] * np.maximum(batch["sampling"], 1), "packets"),
        (scaled(batch, "bytes"), "bytes"),
    ):
        found = np.zeros((8, 2000))
        np.add.at(found, (numbers[batch["exporter"]], np.maximum(batch["input"], batch["output"])), told.astype(float))
        expected = np.zeros((8, 2000))
        np.add.at(expected, (truth["exporter"], truth["interface"]), truth[true].astype(float))
        assert (found == expected).all()
    assert {(each.lost_on_the_way, each.losses.malformed, each.losses.clock) for each in of.exporters.table} == {
        (0, 0, 0)
    }
    names = {"source": "source_low", "destination": "destination_low"}
    fields = ("source", "destination", "source_port", "destination_port", "protocol", "tcp_flags")
    rows = zip(*(np.sort(batch[names.get(name, name)]).tolist() for name in fields), strict=True)
    assert list(rows) == list(zip(*(np.sort(truth[name]).tolist() for name in fields), strict=True))
    if protocol != "sflow":
        assert np.allclose(np.sort(batch["ended"]), truth["ended_ms"] / 1000, atol=0.0011)
        took_s = (truth["ended_ms"] - truth["begun_ms"]) / 1000
        assert np.allclose(np.sort(batch["ended"] - batch["begun"]), np.sort(took_s), atol=1e-5)


def test_records_wait_for_their_template() -> None:
    of = collector()
    assert not len(take(of, ipfix(RECORD)))
    assert not len(take(of, ipfix(RECORD, at_s=NOW + 59), now_s=NOW + 59))
    batch = take(of, ipfix(FIVE, at_s=NOW + 60), now_s=NOW + 60)
    assert batch["packets"].tolist() == [5, 5]
    assert batch["ended"].tolist() == [NOW, NOW + 59]
    assert of.exporters.table[0].losses.unknown_sets == 0


def test_records_do_not_wait_for_ever() -> None:
    of = collector()
    take(of, ipfix(RECORD))
    take(of, ipfix(), now_s=NOW + 61)
    assert not len(take(of, ipfix(FIVE), now_s=NOW + 61))
    assert of.exporters.table[0].losses.unknown_sets == 1


def test_what_waits_is_bounded() -> None:
    of = collector()
    for _ in range(40):
        take(of, *[ipfix(one_set(300, bytes(1200)))] * 50)
    assert len(of.waiting) < 800
    assert of.exporters.table[0].losses.unknown_sets + len(of.waiting) == 2000


def test_a_template_may_change_in_the_middle() -> None:
    swapped = template(300, (1, 8), (2, 8))
    of = collector()
    batch = take(of, ipfix(FIVE), ipfix(RECORD), ipfix(RECORD, swapped, RECORD), ipfix(RECORD))
    assert batch["packets"].tolist() == [5, 5, 700, 700]


def alternating(changes: int) -> list[bytes]:
    """A template that has changed before each of so many records."""
    layouts = (template(300, (8, 4), (1, 4)), template(300, (1, 4), (8, 4)))
    return [each for at in range(changes) for each in (layouts[at % 2], one_set(300, bytes(8)))]


@pytest.mark.parametrize("together", [2, 100])
def test_who_changes_templates_all_the_time_costs_no_more_and_nobody_else_anything(together: int) -> None:
    """Each layout costs as much as thousands of records: they are counted, and what is over is lost."""
    of, sets, other = collector(), alternating(500), "192.0.2.66"
    hostile = [ipfix(*sets[at : at + together]) for at in range(0, len(sets), together)]
    honest = ipfix(template(300, (8, 4), (2, 4)), one_set(300, bytes(8)))
    found = of.take(packed([pair for each in hostile for pair in ((each, other), (honest, HOME))], NOW))
    assert len(found) == len(hostile) + 128
    losses = {str(each.address): (each.losses.records, each.losses.malformed) for each in of.exporters.table}
    assert losses == {HOME: (len(hostile), 0), other: (128, len(hostile) - 256 // together)}
    assert len(take(of, ipfix(one_set(300, bytes(8))), source=other)) == 0, "what it said last was not read"
    assert len(take(of, ipfix(*alternating(1)), source=other)) == 2, "nor is it held against it"


def test_many_layouts_of_one_exporter_are_bounded_though_none_changes() -> None:
    of, sent = collector(), []
    for domain in range(20):
        layouts = [(300 + at, 10 * domain + at) for at in range(10)]
        told = [template(number, (1, 4), (8, 4), (210, 1 + size)) for number, size in layouts]
        records = [one_set(number, bytes(9 + size)) for number, size in layouts]
        sent.append(ipfix(*told, *records, domain=domain))
    assert len(take(of, *sent)) == 128
    assert len(take(of, *sent[:12])) == 120


def test_a_template_is_withdrawn() -> None:
    of = collector()
    withdrawn = one_set(2, struct.pack("!HH", 300, 0))
    assert take(of, ipfix(FIVE, RECORD, withdrawn, RECORD))["packets"].tolist() == [5]
    assert len(of.waiting) == 1
    take(of, ipfix(FIVE), ipfix(one_set(2, struct.pack("!HH", 2, 0))))
    assert not of.exporters.streams[0].templates.by_id, "all of its kind"


def test_a_set_of_templates_may_end_in_zeros() -> None:
    """In IPFIX, too: they withdraw nothing."""
    for sent, set_id in ((v9, 0), (ipfix, 2)):
        of = collector()
        assert len(take(of, sent(one_set(set_id, FIVE[4:] + bytes(4)), RECORD))) == 1
        assert of.exporters.table[0].losses.malformed == 0


def test_a_template_that_is_said_again_counts_again_after_another() -> None:
    of, mine, other = collector(), template(256, (1, 8)), template(256, (2, 8))
    gone = one_set(2, struct.pack("!HH", 256, 0))
    for said, column in ((mine, "bytes"), (mine, "bytes"), (other, "packets"), (mine, "bytes"), (other, "packets")):
        batch = take(of, ipfix(said, one_set(256, bytes([0] * 7 + [7]))))
        assert batch[column].tolist() == [7]
    for said, left in ((gone, 0), (other, 1), (gone, 0), (gone, 0), (mine, 1), (mine, 1)):
        take(of, ipfix(said))
        assert len(of.exporters.streams[0].templates.by_id) == left


def test_what_is_malformed_is_counted_each_time() -> None:
    of, torn = collector(), ipfix(template(256, (1, 8)) + one_set(2, struct.pack("!HHHH", 257, 2, 1, 8)))
    for times in (1, 2, 3):
        take(of, torn)
        assert of.exporters.table[0].losses.malformed == times
    assert of.exporters.streams[0].templates.by_id.keys() == {256}


def test_a_template_serves_the_other_domains_of_its_exporter_only() -> None:
    of = collector()
    assert len(take(of, ipfix(FIVE), ipfix(RECORD, domain=2))) == 1
    assert len(take(of, ipfix(RECORD), source="192.0.2.2")) == 0


def test_templates_are_bounded() -> None:
    of = collector()
    take(of, *[ipfix(template(number, *COUNTS)) for number in range(300, 300 + MOST_PER_STREAM + 10)])
    known = of.exporters.streams[0].templates.by_id
    assert len(known) == MOST_PER_STREAM and 309 not in known and 310 in known


def test_streams_are_bounded() -> None:
    of = collector()
    take(of, *[ipfix(FIVE, domain=domain) for domain in range(MOST_STREAMS + 5)])
    assert of.exporters.table[0].losses.malformed == 5


def test_templates_outlive_the_collector() -> None:
    of = collector()
    take(of, ipfix(FIVE), v9(one_set(0, struct.pack("!HH", 400, 2) + specified(COUNTS))))
    assert of.templates_changed
    kept = of.templates()
    assert not of.templates_changed
    again = collector()
    again.restore(kept)
    assert len(take(again, ipfix(RECORD), v9(one_set(400, struct.pack("!QQ", 5, 700))))) == 2
    elsewhere = collector(Allowed("198.51.100.0/24"))
    elsewhere.restore(kept)
    assert not elsewhere.exporters.table


@pytest.mark.parametrize(
    "kept",
    [
        b"",
        b"{}",
        b'[["192.0.2.1",9,0,300,"AAAA",0]]',
        b'[["192.0.2.1",9,0,200,"AAgABAAMAAQ=",0]]',
        b'[["192.0.2.1",7,0,300,"AAgABAAMAAQ=",0]]',
        b'[["nobody",9,0,300,"AAIACA==",0]]',
    ],
)
def test_templates_that_are_none_are_not_restored(kept: bytes) -> None:
    with pytest.raises(DecodeError):
        collector().restore(kept)


SYSTEM_RATE = options(301, 1, (149, 4), (34, 4))
"""For the whole domain: 1 of so many packets."""
SAMPLER = options(302, 1, (302, 8), (305, 4), (306, 4))
SAMPLED = template(303, *COUNTS, (302, 8))


@pytest.mark.parametrize(
    ("sets", "sampling"),
    [
        ((FIVE, RECORD), [0]),
        ((FIVE, RECORD, SYSTEM_RATE, one_set(301, struct.pack("!II", 1, 64))), [64]),
        ((template(300, *COUNTS, (34, 4)), one_set(300, struct.pack("!QQI", 5, 700, 128))), [128]),
        ((template(300, *COUNTS, (305, 4), (306, 4)), one_set(300, struct.pack("!QQII", 5, 700, 2, 254))), [128]),
        ((template(300, *COUNTS, (50, 4)), one_set(300, struct.pack("!QQI", 5, 700, 32))), [32]),
        (
            (
                *(SAMPLER, one_set(302, struct.pack("!QIIQII", 7, 1, 99, 8, 1, 9)), SAMPLED),
                one_set(303, struct.pack("!QQQQQQQQQ", 5, 700, 7, 5, 700, 8, 5, 700, 9)),
            ),
            [100, 10, 0],
        ),
        ((SAMPLER, one_set(302, struct.pack("!QIIQII", 7, 1, 99, 8, 1, 9)), FIVE, RECORD), [0]),
        ((SAMPLER, one_set(302, struct.pack("!QII", 7, 1, 99)), FIVE, RECORD), [100]),
        ((template(300, *COUNTS, (34, 8)), one_set(300, struct.pack("!QQQ", 5, 700, 1 << 63))), [0xFFFFFFFF]),
    ],
)
def test_sampling_is_what_somebody_said(sets: tuple[bytes, ...], sampling: list[int]) -> None:
    assert take(of := collector(), ipfix(*sets))["sampling"].tolist() == sampling
    assert of.exporters.table[0].losses.unsampled == sampling.count(0)
    configured = collector(Allowed("192.0.2.0/24", sampling=7))
    assert take(configured, ipfix(*sets))["sampling"].tolist() == [7] * len(sampling)


def test_sampling_of_netflow5_is_in_its_header() -> None:
    head = struct.pack("!HHIIIIBBH", 5, 1, 0, int(NOW), 0, 0, 0, 0, 0x4000 | 10)
    assert take(collector(), head + bytes(48))["sampling"].tolist() == [10]


def test_only_who_may_export_is_heard() -> None:
    of = collector(Allowed("192.0.2.1"))
    assert not len(take(of, ipfix(FIVE, RECORD), ipfix(RECORD), source="192.0.2.2"))
    assert not of.exporters.table and of.exporters.strangers == {"192.0.2.2": 2}
    of.exporters.allow([Allowed("192.0.2.2"), Allowed("2001:db8::/64")])
    assert len(take(of, ipfix(FIVE, RECORD), source="192.0.2.2")) == 1
    assert len(take(of, ipfix(FIVE, RECORD), source="2001:db8::1")) == 1
    assert not len(take(of, ipfix(FIVE, RECORD), source="2001:db8:1::1"))
    of.exporters.allow([])
    assert not len(take(of, ipfix(RECORD), source="192.0.2.2"))


def test_strangers_are_counted_in_bounded_memory() -> None:
    of = collector()
    of.take(packed([(b"?", f"198.51.{n >> 8}.{n & 255}") for n in range(5000)], NOW))
    assert len(of.exporters.strangers) == 1025 and of.exporters.strangers.total() == 5000


@pytest.mark.parametrize(
    ("times", "expected", "doubted"),
    [
        ((NOW - 10, NOW - 2), (-10, -2), 0),
        ((NOW - 10, NOW + 30), (-10, 30), 0),
        ((NOW - 2, NOW - 10), (-10, -10), 1),
        ((NOW - 9000, NOW - 2), (-3602, -2), 1),
        ((NOW - 90_010, NOW - 90_000), (-10, 0), 1),
        ((NOW + 90_000, NOW + 90_010), (-10, 0), 1),
        ((0, 2**54), (-3600, 0), 1),
    ],
)
def test_a_clock_that_cannot_be_right_is_not_believed(
    times: tuple[float, float], expected: tuple[float, float], doubted: int
) -> None:
    of = collector()
    began_ended = struct.pack("!QQ", *(int(each * 1000) for each in times))
    batch = take(of, ipfix(template(300, (152, 8), (153, 8)), one_set(300, began_ended)))
    assert (batch["begun"][0] - NOW, batch["ended"][0] - NOW) == expected
    assert of.exporters.table[0].losses.clock == doubted


def test_an_exporter_in_another_year_keeps_its_durations() -> None:
    of = collector()
    year = 365 * 86400.0
    then = struct.pack("!QQ", int((NOW - year - 20) * 1000), int((NOW - year - 5) * 1000))
    batch = take(of, ipfix(template(300, (152, 8), (153, 8)), one_set(300, then), at_s=NOW - year))
    assert (batch["begun"][0] - NOW, batch["ended"][0] - NOW) == (-20, -5)
    assert of.exporters.table[0].losses.clock == 1


@pytest.mark.parametrize(
    ("fields", "value"),
    [
        (((150, 4), (151, 4)), struct.pack("!II", int(NOW) - 20, int(NOW) - 5)),
        (
            ((154, 8), (155, 8)),
            struct.pack("!IIII", int(NOW) + 2208988780, 0, int(NOW) + 2208988795, 0),
        ),
        (((158, 4), (159, 4)), struct.pack("!II", 20_000_000, 5_000_000)),
        (((160, 8), (22, 4), (21, 4)), struct.pack("!QII", (int(NOW) - 100) * 1000, 80_000, 95_000)),
    ],
)
def test_times_come_in_many_units(fields: tuple[tuple[int, int], ...], value: bytes) -> None:
    batch = take(collector(), ipfix(template(300, *fields), one_set(300, value)))
    assert (batch["begun"][0] - NOW, batch["ended"][0] - NOW) == (-20, -5)


def test_uptime_may_wrap() -> None:
    fields = one_set(0, struct.pack("!HH", 300, 2) + specified(((22, 4), (21, 4))))
    batch = take(collector(), v9(fields, one_set(300, struct.pack("!II", 2**32 - 10_000, 4_000)), uptime_ms=9_000))
    assert (batch["begun"][0] - NOW, batch["ended"][0] - NOW) == (-19, -5)


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        (b"", 0),
        (b"\0\5", 0),
        (b"\0\5\0\1", 0),
        (b"\0\7" + bytes(60), 0),
        (struct.pack("!HHIIIIBBH", 5, 2, 0, int(NOW), 0, 0, 0, 0, 0) + bytes(48), 1),
        (struct.pack("!HHIIIIBBH", 5, 0, 0, int(NOW), 0, 0, 0, 0, 0), 0),
        (struct.pack("!HHIIIIBBH", 5, 65535, 0, int(NOW), 0, 0, 0, 0, 0) + bytes(100), 2),
        (ipfix(FIVE, RECORD, b"\1\54\0\3"), 1),
        (ipfix(FIVE, RECORD, b"\1\54\xff\xff"), 1),
        (ipfix(FIVE, RECORD) + b"more", 1),
        (ipfix(FIVE, RECORD) + b"or", 1),
        (ipfix(FIVE, RECORD, one_set(4, bytes(8))), 1),
        (ipfix(FIVE, one_set(2, struct.pack("!HHHH", 301, 5, 1, 8)), RECORD), 1),
        (ipfix(one_set(2, struct.pack("!HH", 301, 400) + bytes(1200)), FIVE, RECORD), 1),
        (ipfix(one_set(2, struct.pack("!HH", 301, 200) + struct.pack("!HH", 8, 4) * 200), FIVE, RECORD), 1),
        (ipfix(one_set(2, struct.pack("!HHHH", 301, 1, 1, 0)), FIVE, RECORD), 1),
        (ipfix(one_set(3, struct.pack("!HHHHH", 301, 1, 0, 34, 4)), FIVE, RECORD), 1),
        (ipfix(one_set(2, struct.pack("!HHHH", 7, 1, 1, 8)), FIVE, RECORD), 1),
        (ipfix(*[one_set(999, b"\0")] * 200), 0),
    ],
)
def test_what_lies_is_counted_and_what_was_whole_is_kept(payload: bytes, found: int) -> None:
    of = collector()
    assert len(take(of, payload)) == found
    assert of.exporters.table[0].losses.malformed == 1
    assert str(of.exporters.table[0].address) == HOME


@pytest.mark.parametrize(("numbers", "lost"), [((0, 1, 2), 0), ((0, 1, 4), 2), ((4, 5, 0), 0)])
def test_gaps_in_ipfix_are_records_on_the_way(numbers: tuple[int, ...], lost: int) -> None:
    of = collector()
    take(of, *[ipfix(FIVE, RECORD, number=number) for number in numbers])
    assert of.exporters.table[0].lost_on_the_way == lost


def test_a_later_stage_tells_what_it_had_no_room_for() -> None:
    of = collector()
    batch = take(of, ipfix(FIVE, RECORD, RECORD))
    of.exporters.unqueued(batch)
    assert of.exporters.table[0].losses.queue == 2
