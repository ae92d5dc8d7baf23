"""What Open vSwitch 3.1 sent is read as what it saw."""

import struct

import numpy as np
import pytest

from suimon.model.records import some
from suimon.telemetry.flow.exporters import Allowed
from suimon.telemetry.flow.open_vswitch import known_templates
from suimon.telemetry.flow.templates import announced
from tests.telemetry.flow.parts import captured, collector, take

OURS = Allowed("192.0.2.0/24", open_vswitch=True)
GUESTS = {0x0A400101, 0x0A400102}
TEMPLATES = (2, 3)


def set_id(datagram: bytes) -> int:
    return int.from_bytes(datagram[16:18], "big")


@pytest.mark.parametrize(("capture", "variant"), [("open_vswitch_ipfix", 0), ("open_vswitch_ipfix_observer", 1)])
def test_its_templates_are_known(capture: str, variant: int) -> None:
    seen = {
        each.id: each.template
        for datagram in captured(capture)
        if set_id(datagram) == 2
        for each in announced(10, 2, datagram[20:], {})
    }
    assert len(seen) == 88
    assert seen == {number: known_templates(number)[variant] for number in seen}
    assert not [number for number in range(65536) if known_templates(number) and number not in seen]


@pytest.mark.parametrize("capture", ["open_vswitch_ipfix", "open_vswitch_ipfix_observer", "open_vswitch_ipfix_domains"])
@pytest.mark.parametrize("told", [True, False])
def test_its_ipfix(capture: str, told: bool) -> None:
    datagrams = [each for each in captured(capture) if told or set_id(each) not in TEMPLATES]
    of = collector(OURS)
    now_s = float(struct.unpack_from("!I", datagrams[-1], 4)[0])
    batch = take(of, *datagrams, now_s=now_s)
    exporter = of.exporters.table[0]
    # Where a packet left it is told of again, under an odd template.
    assert len(batch) == sum(set_id(each) >= 256 and not set_id(each) % 2 and set_id(each) != 462 for each in datagrams)
    assert (batch["sampling"] == 1).all()
    assert exporter.losses.malformed == exporter.lost_on_the_way == exporter.losses.clock == 0
    assert {*batch["source_low"][batch["ip_version"] == 4].tolist()} <= GUESTS
    assert ((batch["packets"] > 0) & (batch["bytes"] >= 28)).all()
    udp = some(batch, (batch["protocol"] == 17) & (batch["source_low"] == 0x0A400101))
    assert (udp["bytes"] == 128 * udp["packets"]).all(), "100 bytes of payload"
    assert {*udp["destination_port"].tolist()} <= {9000, 9001, 9002, 9003, 9004}
    assert {*udp["source_mac"].tolist()} == {0x020000000001}


def test_its_netflow() -> None:
    of = collector(OURS)
    batch = take(of, *captured("open_vswitch_netflow5"), now_s=1795280255.0)
    assert of.exporters.table[0].lost_on_the_way == of.exporters.table[0].losses.clock == 0
    assert of.exporters.streams[0].sequence.late == 0
    assert (batch["sampling"] == 1).all(), "it counts every packet"
    assert len(batch) == 20 and {*batch["input"].tolist()} <= {101, 102, 65534}
    tcp = some(batch, (batch["protocol"] == 6) & (batch["destination_port"] == 8000))
    assert (tcp["tcp_flags"] & 0x12 != 0).all()
    assert (batch["ended"] - batch["begun"]).max() < 10


def test_its_sflow() -> None:
    of = collector(OURS)
    batch = take(of, *captured("open_vswitch_sflow"))
    assert (batch["sampling"] == 4).all() and (batch["packets"] == 1).all()
    udp = some(batch, (batch["protocol"] == 17) & (batch["source_low"] == 0x0A400101))
    assert len(udp) and (udp["bytes"] == 142).all(), "100 bytes of payload, and Ethernet"
    arp = some(batch, batch["ip_version"] == 0)
    assert {*arp["destination_low"].tolist()} <= GUESTS | {0x0A40014D}
    assert ((batch["ip_version"] == 6) & (batch["source_high"] == 0xFE80 << 48)).any()
    counters = np.concatenate(of.counters)
    named = {each["name"].decode(): each for each in counters}
    assert named["flv1"]["openflow_port"] == 101 and named["flv2"]["openflow_port"] == 102
    assert 0 < named["flv1"]["in_packets"] < 1 << 20 and 0 < named["flv1"]["out_packets"] < 1 << 20


def test_strange_templates_under_its_ids_are_not_guessed() -> None:
    data = [each for each in captured("open_vswitch_ipfix") if set_id(each) not in TEMPLATES]
    assert not len(take(collector(), *data)), "not said to be Open vSwitch"
    of = collector(OURS)
    longer = data[0][:2] + struct.pack("!H", len(data[0]) + 7) + data[0][4:18]
    longer += struct.pack("!H", len(data[0]) - 16 + 7) + data[0][20:] + bytes(7)
    assert not len(take(of, longer)) and len(of.waiting) == 1
