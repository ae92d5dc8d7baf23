"""Fields of every length are read, and those of variable length are passed over."""

import struct

import pytest

from tests.telemetry.flow.parts import collector, ipfix, one_set, options, take, template

NAME, VIRTUAL = (82, 0xFFFF), (0x8000 | 898, 0xFFFF)
PADDING = (210, 6)


@pytest.mark.parametrize("length", range(1, 9))
def test_numbers_may_be_shortened(length: int) -> None:
    value = 0x0102030405060708 & (1 << 8 * length) - 1
    body = value.to_bytes(length, "big") * 2 + bytes(6)
    for extra in ((), (NAME,)):
        sets = template(300, (2, length), (1, length), PADDING, *extra), one_set(300, (body + b"\0" * len(extra)) * 3)
        batch = take(collector(), ipfix(*sets))
        assert batch["packets"].tolist() == batch["bytes"].tolist() == [value] * 3


@pytest.mark.parametrize("name", [b"", b"a", b"e" * 254, b"x" * 255, b"y" * 1000])
def test_variable_lengths_are_passed_over(name: bytes) -> None:
    told = bytes([len(name)]) if len(name) < 255 else b"\xff" + struct.pack("!H", len(name))
    record = b"\0\0\0\7" + told + name + b"\x03vm1" + b"\0\0\0\x09"
    of = collector()
    batch = take(of, ipfix(template(300, (10, 4), NAME, VIRTUAL, (14, 4)), one_set(300, record)))
    assert (batch["input"].tolist(), batch["output"].tolist()) == ([7], [9])
    short = take(of, ipfix(one_set(300, record[:-1])))
    assert not len(short) and of.exporters.table[0].losses.malformed == 1


def test_sets_with_many_records_of_different_lengths() -> None:
    records = b"".join(bytes([n]) + b"n" * n + struct.pack("!6xI", n) for n in range(50))
    of = collector()
    sets = one_set(300, records), one_set(300, records[:-1] + b"\0")
    batch = take(of, ipfix(template(300, NAME, PADDING, (10, 4)), *sets))
    assert sorted(batch["input"].tolist()) == sorted([*range(50), *range(49), 0])


def test_fields_of_nothing_cost_no_more_than_those_of_a_datagram() -> None:
    of, nothing = collector(), [(200, 0)] * 119
    many = one_set(300, bytes(9000))
    assert len(take(of, ipfix(template(300, *[NAME] * 8, *nothing), many))) == 33, "4096 fields of 127 for a record"
    assert of.exporters.table[0].losses.malformed == 1
    assert len(take(of, ipfix(template(301, *[NAME] * 8), one_set(301, bytes(4096))))) == 512
    assert of.exporters.table[0].losses.malformed == 1


def test_records_of_nothing_are_none() -> None:
    """However little a record says, it takes as much memory as any."""
    for fields in ([(4, 1)], [(8, 4), (1, 3)], [NAME] * 7):
        of = collector()
        assert not len(take(of, ipfix(template(300, *fields), one_set(300, bytes(9000)))))
        assert of.exporters.table[0].losses.malformed == 1
    of = collector()
    take(of, ipfix(options(301, 1, (149, 1), (34, 2)), one_set(301, bytes([1, 0, 9]))))
    assert (of.exporters.streams[0].sampling, of.exporters.table[0].losses.malformed) == (9, 0), "options may be short"


def test_the_first_of_two_counts_and_totals_never() -> None:
    fields = template(300, (10, 4), (10, 4), (86, 8), (85, 8), (24, 8), (352, 8), (0x8000 | 2, 8))
    batch = take(collector(), ipfix(fields, one_set(300, struct.pack("!IIQQQQQ", 1, 2, 3, 4, 5, 6, 7))))
    assert batch.rows()[["input", "packets", "bytes"]].tolist() == [(1, 5, 6)]


def test_both_kinds_of_address_in_one_template() -> None:
    fields = template(300, (8, 4), (12, 4), (27, 16), (28, 16))
    four, six = bytes([10, 0, 0, 1, 10, 0, 0, 2]) + bytes(32), bytes(8) + bytes([0x20, *[0] * 14, 1]) * 2
    batch = take(collector(), ipfix(fields, one_set(300, four + six)))
    assert batch["ip_version"].tolist() == [4, 6]
    assert batch["source_low"].tolist() == [0x0A000001, 1] and batch["source_high"].tolist() == [0, 0x20 << 56]


@pytest.mark.parametrize(
    ("fields", "value"), [(((32, 2),), b"\3\4"), (((176, 1), (177, 1)), b"\3\4"), (((178, 1), (179, 1)), b"\3\4")]
)
def test_icmp_is_in_the_destination_port(fields: tuple[tuple[int, int], ...], value: bytes) -> None:
    batch = take(collector(), ipfix(template(300, *fields, PADDING), one_set(300, value + bytes(6))))
    assert batch["destination_port"].tolist() == [0x304]


def test_an_address_of_a_wrong_length_is_not_read() -> None:
    batch = take(collector(), ipfix(template(300, (8, 2), (56, 4), (2, 9), (1, 1)), one_set(300, b"\1" * 16)))
    assert batch.rows()[["source_low", "source_mac", "packets", "bytes"]].tolist() == [(0, 0, 0, 1)]
