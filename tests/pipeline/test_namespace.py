"""A router's namespace in the simulation tells connections apart as the kernel's tracker does."""

from ipaddress import IPv4Address

import pytest

from suimon.model.view import PortForwarding
from suimon.pipeline.gateway import INSIDE, NAMESPACE, OUTSIDE
from suimon.pipeline.program import Nat
from suimon.pipeline.simulate import Packet
from suimon.pipeline.simulate.namespace import Namespace
from suimon.pipeline.simulate.packet import ACK, SYN, Ends, icmp_echo, tcp

GUEST, ROUTER, FAR = "10.0.0.5", "203.0.113.3", "198.51.100.9"
FORWARDED = PortForwarding(ROUTER, 6, 22, 22, GUEST, 2222, 2222)
HIDING = Nat("r", (ROUTER,), ("10.0.0.0/24",), source=ROUTER)
PLAIN = Nat("r", (ROUTER,), ("10.0.0.0/24",))


def inwards(source: str, target: str) -> Ends:
    return Ends(OUTSIDE, NAMESPACE, source, target)


def outwards(source: str, target: str) -> Ends:
    return Ends(INSIDE, NAMESPACE, source, target)


def ends(packet: Packet | None) -> tuple[str, str] | None:
    return packet and (str(IPv4Address(packet.fields["ipv4_src"])), str(IPv4Address(packet.fields["ipv4_dst"])))


def passed(nat: Nat, *packets: Packet) -> list[tuple[str, str] | None]:
    """What comes out of each, one after the other."""
    namespace = Namespace()
    return [ends(namespace.forward(nat, each).packet) for each in packets]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (icmp_echo(inwards(FAR, ROUTER), 7, reply=True), (FAR, GUEST)),
        (icmp_echo(inwards(FAR, ROUTER), 8, reply=True), None),
        (icmp_echo(inwards(FAR, ROUTER), 7), (ROUTER, FAR)),
    ],
    ids=["its answer", "another's answer", "a ping of the far end's own"],
)
def test_a_ping_is_known_by_its_type_and_id(answer: Packet, expected: tuple[str, str] | None) -> None:
    assert passed(HIDING, icmp_echo(outwards(GUEST, FAR), 7), answer) == [(ROUTER, FAR), expected]


@pytest.mark.parametrize(
    "stray", [tcp(outwards(GUEST, FAR), 9, flags=SYN | ACK), icmp_echo(outwards(GUEST, FAR), 7, reply=True)]
)
def test_an_answer_to_nothing_is_never_hidden_and_leaves_only_where_nothing_is(stray: Packet) -> None:
    assert passed(HIDING, stray) == [None]
    assert passed(PLAIN, stray) == [(GUEST, FAR)]


def test_an_answer_to_nothing_is_not_forwarded() -> None:
    nat = Nat("r", (ROUTER,), ("10.0.0.0/24",), forwardings=(FORWARDED,))
    assert passed(nat, tcp(inwards(FAR, ROUTER), 22), tcp(inwards(FAR, ROUTER), 22, 9, SYN | ACK)) == [
        (FAR, GUEST),
        None,
    ]


def test_who_keeps_its_address_gets_its_answer() -> None:
    nat = Nat("r", (ROUTER,), ("10.0.0.0/24",), source=ROUTER, plain=("10.0.0.0/24",))
    answer = tcp(inwards(FAR, GUEST), 40000, 9, SYN | ACK)
    assert passed(nat, tcp(outwards(GUEST, FAR), 9), answer) == [(GUEST, FAR), (FAR, GUEST)]
    assert passed(nat, answer) == [None]
