"""A leg that a host is told of without its router: another router leads to it, and its pings are answered."""

from __future__ import annotations

import pytest

from suimon.model import view
from suimon.pipeline.simulate import Ends, Packet, Result, icmp_echo, tcp
from tests.pipeline.underlay import Hypervisor

GUEST, NEAR, BETWEEN, FAR = (f"fa:16:3e:00:00:0{number}" for number in range(1, 5))
PATCH = 101
PREFIXES = {4: ("10.0.0.", "10.1.0.", "/24"), 6: ("fd00:0::", "fd00:1::", "/64")}


def cloud(version: int) -> list[view.Object]:
    """A guest; `near` on its network and on a VLAN, where the leg of `far` is."""
    inside, wire, length = PREFIXES[version]
    fixed = (view.FixedIp("s1", f"{inside}9"),)
    return [
        view.Network("n1", "vxlan", 7, None, 1450),
        view.Network("n2", "vlan", 9, "physnet1", 1500),
        view.Port("guest", "h1", "n1", GUEST, fixed, security=False),
        view.Router("near", True, (_leg("n1", inside, length, 1, NEAR), _leg("n2", wire, length, 1, BETWEEN))),
        view.Leg("leg", "far", "n2", FAR, (f"{wire}2",)),
    ]


def _leg(network: str, prefix: str, length: str, last: int, mac: str) -> view.RouterInterface:
    cidr = f"{prefix}{'' if ':' in prefix else 0}{length}"
    return view.RouterInterface(f"{network}/{last}", network, f"s-{network}", cidr, f"{prefix}{last}", mac)


def far_router(version: int) -> view.Router:
    _, wire, length = PREFIXES[version]
    return view.Router("far", True, (_leg("n2", wire, length, 2, FAR),))


def follow(host: Hypervisor, objects: list[view.Object]) -> None:
    host.world.wire({"vxlan": 100}, {"physnet1": PATCH})
    host.follow({view.key(thing): thing for thing in objects}, {"guest": 1})


def ends(version: int) -> Ends:
    inside, wire, _ = PREFIXES[version]
    return Ends(GUEST, NEAR, f"{inside}9", f"{wire}2")


def sent(host: Hypervisor, packet: Packet) -> Result:
    result = host.switch.process(packet.arriving(1))
    assert not [step for step in result.steps if step.rivals]
    return result


@pytest.mark.parametrize("version", PREFIXES)
def test_it_answers_through_the_router_that_leads_to_it_until_it_goes(version: int) -> None:
    host, ping = Hypervisor("h1"), icmp_echo(ends(version))
    answer = icmp_echo(Ends(NEAR, GUEST, ends(version).ip_dst, ends(version).ip_src), reply=True)
    for objects in (cloud(version), [*cloud(version), far_router(version)], cloud(version)):
        follow(host, objects)
        ((ofport, heard),) = sent(host, ping).outputs
        assert ofport == 1
        assert {name: heard.fields[name] for name in answer.fields if name != "ip_ttl"} == {
            name: value for name, value in answer.fields.items() if name != "ip_ttl"
        }
    follow(host, cloud(version)[:-1])
    assert not sent(host, ping).outputs


@pytest.mark.parametrize("version", PREFIXES)
def test_what_it_does_not_answer_is_not_sent_to_the_wire(version: int) -> None:
    host = Hypervisor("h1")
    follow(host, cloud(version))
    assert not sent(host, tcp(ends(version), 22)).outputs
