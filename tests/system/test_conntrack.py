"""The connection tracker of a real switch says what the simulated one foretells: state and tuple, packet by packet.

Each packet is handed to the switch, which tracks it; before that, one flow is installed that matches exactly what the
simulated tracker foretells. It must count the packet.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from ipaddress import IPv4Address

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet import fragment as fragment_packets
from scapy.layers.l2 import Ether
from scapy.layers.sctp import SCTP, SCTPChunkData, SCTPChunkInit
from scapy.packet import Packet as Bytes
from scapy.packet import Raw

from suimon.pipeline.simulate import Conntrack, Ends, Packet, icmp_echo, icmp_error, later_fragment, tcp, udp
from suimon.pipeline.simulate.packet import ACK, FIN, SYN
from tests.patience import patient
from tests.system.openvswitch import DATAPATH, OpenVSwitch

ZONE = 7
THERE = Ends("02:00:00:00:00:01", "02:00:00:00:00:02", "10.0.0.1", "10.0.0.2")
BACK = Ends("02:00:00:00:00:02", "02:00:00:00:00:01", "10.0.0.2", "10.0.0.1")
LOOK, COMMIT = False, True

PLAYS: dict[str, list[tuple[Packet, bool]]] = {
    "a TCP connection": [
        (tcp(THERE, 22), LOOK),
        (tcp(THERE, 22), COMMIT),
        (tcp(BACK, 40000, 22, SYN | ACK), LOOK),
        (tcp(THERE, 22, flags=ACK), LOOK),
        (tcp(THERE, 23), LOOK),
    ],
    "TCP out of nowhere": [
        (tcp(THERE, 22, flags=ACK), LOOK),
        (tcp(THERE, 22, flags=SYN | ACK), LOOK),
        (tcp(THERE, 22, flags=SYN | FIN), LOOK),
        (tcp(THERE, 22, flags=FIN), LOOK),
    ],
    "UDP, its answer and an error about it": [
        (udp(THERE, 53), COMMIT),
        (udp(BACK, 40000, 53), LOOK),
        (udp(THERE, 53), LOOK),
        (icmp_error(BACK, udp(THERE, 53)), LOOK),
        (icmp_error(BACK, udp(THERE, 54)), LOOK),
    ],
    "a ping": [
        (icmp_echo(THERE, 7), COMMIT),
        (icmp_echo(BACK, 8, reply=True), LOOK),
        (icmp_echo(BACK, 7, reply=True), LOOK),
        (icmp_echo(THERE, 7), LOOK),
        (icmp_echo(BACK, 7), LOOK),
    ],
}

_INIT = SCTP(sport=1, dport=2) / SCTPChunkInit(init_tag=1)
OPENING: dict[str, Bytes] = {
    "TCP": TCP(sport=1, dport=2),
    "UDP": UDP(sport=1, dport=2),
    "ICMP": ICMP(id=1),
    "SCTP": _INIT,
    "a protocol without a header of its own": Raw(b""),
}
MALFORMED: dict[str, Bytes] = {
    "TCP, cut off": Raw(bytes(TCP())[:8]),
    "TCP, wrong sum": TCP(sport=1, dport=2, chksum=1),
    "UDP, cut off": Raw(bytes(UDP())[:4]),
    "UDP, wrong sum": UDP(sport=1, dport=2, chksum=1),
    "UDP, longer than its packet": UDP(sport=1, dport=2, len=50),
    "ICMP, cut off": Raw(bytes(ICMP())[:4]),
    "SCTP, cut off": Raw(bytes(_INIT)[:8]),
    "SCTP without a chunk": SCTP(sport=1, dport=2),
    "SCTP, wrong sum": SCTP(sport=1, dport=2, chksum=1) / SCTPChunkInit(init_tag=1),
    "SCTP, an INIT with a tag": SCTP(sport=1, dport=2, tag=1) / SCTPChunkInit(init_tag=1),
    "SCTP, data of no association": SCTP(sport=1, dport=2, tag=1) / SCTPChunkData(data=b"data"),
}
_NUMBERS = {"TCP": 6, "UDP": 17, "ICMP": 1, "SCTP": 132}


@pytest.mark.parametrize("play", PLAYS)
def test_the_tracker_says_what_the_simulated_one_says(play: str, switch: OpenVSwitch) -> None:
    switch.add_bridge()
    simulated = Conntrack()
    for number, (packet, commit) in enumerate(PLAYS[play]):
        foretold = simulated.track(ZONE, packet, commit=False)
        matched = [f"ct_state={foretold['ct_state']:#x}/0x3f", "ip"]
        if foretold["ct_nw_proto"]:
            matched += _tuple(foretold)
        keep = f"ct(commit,zone={ZONE})" if commit else "drop"
        switch.ofctl("del-flows", "br-int")
        switch.ofctl("add-flow", "br-int", f"table=0,ip actions=ct(zone={ZONE},table=1)")
        switch.ofctl("add-flow", "br-int", f"table=1,priority=10,{','.join(matched)} actions={keep}")
        data = bytes(_on_wire(packet)).hex()
        switch.ofctl("packet-out", "br-int", f"in_port=LOCAL packet={data} actions=resubmit(,0)")
        counted = _counted(switch, re.compile(r"n_packets=1\b").search)
        assert re.search(r"n_packets=1\b", counted), f"packet {number}: foretold {foretold}\n{counted}"
        if commit:
            simulated.track(ZONE, packet, commit=True)


def test_a_later_fragment_has_lost_the_ports_as_the_simulated_one_has(switch: OpenVSwitch) -> None:
    """A tracker lets a datagram's fragments go when it has them all, Open vSwitch's own one by one, the kernel's as the
    datagram that they were. All of it comes out, and knows its connection.
    """
    switch.add_bridge()
    first = udp(THERE, 53)
    foretold = Conntrack().track(ZONE, later_fragment(first), commit=False)
    switch.ofctl("add-flow", "br-int", f"table=0,ip actions=ct(zone={ZONE},table=1)")
    switch.ofctl("add-flow", "br-int", "table=1,udp,nw_frag=not_later,ct_state=+trk+new,ct_tp_dst=53 actions=drop")
    matched = ",".join([f"ct_state={foretold['ct_state']:#x}/0x3f", *_tuple(foretold)])
    switch.ofctl("add-flow", "br-int", f"table=1,priority=10,ip,nw_frag=later,{matched} actions=drop")
    whole = _on_wire(first) / Raw(bytes(2000))
    for fragment in fragment_packets(whole, fragsize=1400):
        data = bytes(fragment).hex()
        switch.ofctl("packet-out", "br-int", f"in_port=LOCAL packet={data} actions=resubmit(,0)")
    counted = _counted(switch, lambda counted: _bytes(counted) >= len(whole))
    assert re.search(r"n_packets=1\b.*nw_frag=not_later", counted), f"foretold {foretold}\n{counted}"
    assert _bytes(counted) >= len(whole), f"foretold {foretold}\n{counted}"


def test_what_no_tracker_understands_opens_nothing(switch: OpenVSwitch) -> None:
    """Invalid is what no group lets pass. Userspace's tracker doesn't look into SCTP: there, groups judge it as if it
    were whole, by its L4 ports, or by none if it shows none. The kernel's takes only what may begin an association.
    """
    switch.add_bridge()
    sent = OPENING | MALFORMED
    sources = {name: f"10.0.1.{number}" for number, name in enumerate(sent)}
    switch.ofctl("add-flow", "br-int", f"table=0,ip actions=ct(zone={ZONE},table=1)")
    for source in sources.values():
        for number, state in enumerate(("+trk+inv", "+trk+new")):
            switch.ofctl(
                "add-flow", "br-int", f"table=1,cookie={number},ip,nw_src={source},ct_state={state} actions=drop"
            )
    for name, l4 in sent.items():
        network = IP(src=sources[name], dst="10.0.0.2", proto=_NUMBERS.get(re.split(r"\W", name)[0], 253))
        data = bytes(Ether(src=THERE.eth_src, dst=THERE.eth_dst) / network / l4).hex()
        switch.ofctl("packet-out", "br-int", f"in_port=LOCAL packet={data} actions=resubmit(,0)")
    counted = _counted(switch, lambda counted: counted.count("n_packets=1,") == len(sent))
    opened = {
        name for name, source in sources.items() if re.search(rf"cookie=0x1,.*n_packets=1,.*nw_src={source} ", counted)
    }
    taken = {name for name in MALFORMED if DATAPATH == "netdev" and name.startswith("SCTP")}
    assert opened == OPENING.keys() | taken, counted
    assert counted.count("n_packets=1,") == len(sent), counted


def _counted(switch: OpenVSwitch, enough: Callable[[str], object]) -> str:
    """The tracked flows once they have counted enough: the kernel's tracker returns packets when it likes."""
    deadline = time.monotonic() + patient(5)
    while True:
        switch.appctl("revalidator/purge")
        counted = switch.ofctl("dump-flows", "br-int", "table=1")
        if enough(counted) or time.monotonic() > deadline:
            return counted


def _bytes(counted: str) -> int:
    return sum(map(int, re.findall(r"n_bytes=(\d+)", counted)))


def _tuple(foretold: dict[str, int]) -> list[str]:
    """What to match for the connection's tuple; all of these are IPv4."""
    values = {name: value for name, value in foretold.items() if name.startswith(("ct_nw", "ct_tp"))}
    addresses = {name: IPv4Address(values[name]) for name in ("ct_nw_src", "ct_nw_dst")}
    return [f"{name}={value}" for name, value in (values | addresses).items()]


def _on_wire(packet: Packet) -> Bytes:
    fields = packet.fields
    ethernet = Ether(
        src=fields["eth_src"].to_bytes(6, "big").hex(":"), dst=fields["eth_dst"].to_bytes(6, "big").hex(":")
    )
    return ethernet / _network(packet)


def _network(packet: Packet) -> Bytes:
    fields = packet.fields
    ip = IP(src=str(IPv4Address(fields["ipv4_src"])), dst=str(IPv4Address(fields["ipv4_dst"])), ttl=fields["ip_ttl"])
    match fields["ip_proto"]:
        case 6:
            return ip / TCP(sport=fields["tcp_src"], dport=fields["tcp_dst"], flags=packet.tcp_flags, window=8192)
        case 17:
            return ip / UDP(sport=fields["udp_src"], dport=fields["udp_dst"]) / b"data"
    about = _network(packet.quoted) if packet.quoted else b"data"
    return ip / ICMP(type=fields["icmp_type"], code=fields["icmp_code"], id=packet.icmp_id) / about
