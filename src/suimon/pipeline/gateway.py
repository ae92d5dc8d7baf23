"""The way out by gateway hosts: what leaves a router without a floating IP, and what comes in for its own addresses.

The hosts with the external network's physnet are ranked for each router (`model.gateways`); the first that serves is
active. A guest's host hands over what stage floating_out has no floating IP for, through the tunnel under a VNI of
ours, the router named by its gateway's MAC. There it goes through a network namespace of the router (`dataplane.nat`),
which has one device on br-int, and comes back to one of two MACs: INSIDE goes on by the router to its networks, OUTSIDE
to the external one. Addresses are rewritten in the namespace, not here (docs/decisions/0016).

There all that leaves comes by: the gateway's QoS policy is carried out there, of both families, and those of floating
IPs whose L4 ports are forwarded. Either counts only what the other doesn't.

Whether a gateway host lives is asked and answered in the same tunnel by flows: no process of it is needed for that.
Before it says that it serves, it says of what it doesn't: of a physical network, or of a single router.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from suimon.model import view
from suimon.model.gateways import ranked
from suimon.model.owner import Owner
from suimon.pipeline import meters
from suimon.pipeline.answer import arp_reply, reply_heard, unanswered
from suimon.pipeline.ecmp import extra_routes, outer_routes, spread
from suimon.pipeline.facts import Facts
from suimon.pipeline.fields import FROM_GUEST, FROM_PROVIDER, NET, NEXTHOP, ORIGIN, ROUTED, ROUTER
from suimon.pipeline.flow import (
    IN_PORT,
    Action,
    Goto,
    Meter,
    Move,
    Output,
    Resubmit,
    ToController,
    UseMeter,
    flow,
    set_field,
)
from suimon.pipeline.limit import Passage, passage
from suimon.pipeline.program import Nat, Part, Producers
from suimon.pipeline.remote import tag
from suimon.pipeline.tables import Stage

VNI: Final = 0xFFFFFF
"""Of what goes between hosts and gateways. A network that has it, too, does no harm: each flow names a MAC of ours."""
NAMESPACE: Final = "02:53:4d:00:00:01"
INSIDE: Final = "02:53:4d:00:00:02"
OUTSIDE: Final = "02:53:4d:00:00:03"
"""MACs on a namespace's link: its own, and those of the router towards its networks and the external one."""
ASKED: Final = "02:53:4d:00:01:00"
ANSWERED: Final = "02:53:4d:00:01:01"
"""Where the question whether a gateway host lives goes, and its answer."""
SERVING: Final = "02:53:4d:00:02:01"
WAITING: Final = "02:53:4d:00:02:02"
REPLACED: Final = "02:53:4d:00:02:03"
"""Sources of answers: it serves, it does not serve yet, and: it took over from the host that asks."""
MOST_REFUSALS: Final = 32
"""A host that can't serve more than so many physical networks and routers says that it doesn't serve at all."""
ALIVE: Final = 0x88B5
"""EtherType of both (IEEE 802, local experimental 1)."""
_FORWARD: Final[dict[str, object]] = {"eth_type": 0x0800}


def active(facts: Facts, router: view.Router) -> view.GatewayHost | None:
    """Who leads the router out now: the first in rank that serves; if nobody is known to, the first that lives, as it
    may by now be able to what it refused; or the first.
    """
    ranks = stands_by(facts, router)
    living = [each for each in ranks if each.vtep not in facts.away]
    serving = [each for each in living if not _refuses(facts, router, each)]
    return next(iter(serving or living or ranks), None)


def stands_by(facts: Facts, router: view.Router) -> tuple[view.GatewayHost, ...]:
    """The router's gateway hosts by rank."""
    network = facts.network(router.gateway.network_id) if router.gateway and router.up else None
    gateways = facts.gateways(network.physnet) if network and network.physnet else None
    return ranked(router.id, gateways.hosts) if gateways else ()


def refusals(facts: Facts, router: view.Router) -> tuple[str, ...]:
    """The sources of answers by which a host doesn't lead the router out: of its external network, and of itself."""
    network = facts.network(router.gateway.network_id) if router.gateway else None
    if router.gateway is None or network is None or not network.physnet:
        return ()
    return refusal(network.physnet), router.gateway.mac.lower()


def refusal(physnet: str) -> str:
    """That of a physical network. Two of one host that have the same would only be refused together."""
    return f"02:53:4e:{blake2b(physnet.encode(), digest_size=3).digest().hex(':')}"


def _refuses(facts: Facts, router: view.Router, gateway: view.GatewayHost) -> bool:
    who = "" if gateway.host == facts.host else gateway.vtep
    return bool(facts.refused) and any((who, each) in facts.refused for each in refusals(facts, router))


def addresses(router: view.Router) -> list[str]:
    """What the active gateway host answers for on the external network: all of it has the gateway's MAC."""
    own = router.gateway.ip if router.gateway else None
    return sorted({*filter(None, [own]), *(each.address for each in router.forwardings)})


def gateway_passage(facts: Facts, owner: Owner, router: view.Router) -> Passage:
    """By the gateway's QoS policy; its meters are `router_flows`'."""
    return passage(facts, owner, router.id, router.gateway.qos_id if router.gateway else None)


def device(router_id: str) -> str:
    """The name of a namespace's device on br-int: at most 15 bytes (IFNAMSIZ)."""
    return f"smn{router_id.replace('-', '')[:12]}"


def router_flows(facts: Facts, owner: Owner, router: view.Router) -> Iterator[Part]:
    gateway = router.gateway
    network = facts.network(gateway.network_id) if gateway else None
    chosen = active(facts, router)
    if gateway is None or network is None or chosen is None:
        return
    outside = facts.number("network", network.id)
    leaving: dict[str, object] = {NET: outside, ROUTER: facts.number("router", router.id), **_FORWARD}
    if any(each.host == facts.host for each in stands_by(facts, router)):
        yield _nat(facts, router, gateway, network.mtu)
    nat = facts.nats.get(device(router.id))
    if chosen.host != facts.host:
        if facts.tunnel_ofport is not None:
            yield flow(Stage.FLOATING_OUT, 10, owner, leaving, handed_over(gateway, chosen.vtep, facts.tunnel_ofport))
        return
    yield from gateway_passage(facts, owner, router).meters
    if nat is not None and facts.physnets.get(network.physnet or "") is not None:
        into: list[Action] = [set_field("eth_src", INSIDE), set_field("eth_dst", NAMESPACE), Output(nat)]
        yield flow(Stage.FLOATING_OUT, 10, owner, leaving, into)
        handed = {"in_port": facts.tunnel_ofport or 0, "tun_id": VNI, "eth_dst": gateway.mac, **_FORWARD}
        if facts.tunnel_ofport is not None:
            yield flow(Stage.TUNNEL, 110, owner, handed, into)
        yield from _back_from_namespace(facts, owner, router, nat)
        yield from _on_external(facts, owner, router, nat)


def bridge_flows(facts: Facts, owner: Owner, _name: str) -> Iterator[Part]:
    yield Meter(meters.ALIVE, owner, rate=1000, burst=1000, packets=True)
    if facts.tunnel_ofport is None:
        return
    among_hosts: dict[str, object] = {"in_port": facts.tunnel_ofport, "tun_id": VNI, "eth_type": ALIVE}
    heard = among_hosts | {"eth_dst": ANSWERED}
    yield flow(Stage.TUNNEL, 110, owner, heard, [UseMeter(meters.ALIVE), ToController()])
    asked = among_hosts | {"eth_dst": ASKED}
    yield flow(Stage.TUNNEL, 110, owner, asked, _answer(facts, SERVING if facts.serving else WAITING))


def vtep_flows(facts: Facts, owner: Owner, vtep: str) -> Iterator[Part]:
    """A gateway host that was replaced is told so, whatever it thinks of itself."""
    if vtep in facts.replaced and facts.tunnel_ofport is not None:
        ours: dict[str, object] = {"in_port": facts.tunnel_ofport, "tun_id": VNI, "tun_src": vtep}
        asked = ours | {"eth_dst": ASKED, "eth_type": ALIVE}
        yield flow(Stage.TUNNEL, 120, owner, asked, _answer(facts, REPLACED))


def _answer(facts: Facts, state: str) -> list[Action]:
    """Who has heard the state asks no more, so it is told last."""
    refused = sorted(what for who, what in facts.refused if not who)[:MOST_REFUSALS]
    said: list[Action] = []
    for each in (*refused, state):
        said += [set_field("eth_src", each), set_field("eth_dst", ANSWERED), Output(IN_PORT)]
    return [Move("tun_src", "tun_dst"), set_field("tun_id", VNI), *said]


def handed_over(gateway: view.Gateway, vtep: str, tunnel_ofport: int) -> list[Action]:
    """To the gateway host with that tunnel address; the gateway's MAC names the router."""
    return [
        set_field("eth_src", INSIDE),
        set_field("eth_dst", gateway.mac),
        set_field("tun_dst", vtep),
        set_field("tun_id", VNI),
        Output(tunnel_ofport),
    ]


def _back_from_namespace(facts: Facts, owner: Owner, router: view.Router, nat: int) -> Iterator[Part]:
    gateway = router.gateway
    assert gateway is not None
    number, outside = facts.number("router", router.id), facts.number("network", gateway.network_id)
    back: dict[str, object] = {"in_port": nat, "vlan_vid": 0, **_FORWARD}
    taken: list[Action] = [set_field(ROUTER, number), set_field(ORIGIN, FROM_GUEST)]
    yield flow(Stage.CLASSIFY, 100, owner, back | {"eth_dst": INSIDE}, [*taken, Goto(Stage.ROUTE)])
    at_leg: list[Action] = [set_field(NET, outside), set_field("eth_src", gateway.mac), set_field(ROUTED, 1)]
    out = [*taken, *at_leg, Goto(Stage.LEAVE)]
    leaving = back | {"eth_dst": OUTSIDE}
    yield flow(Stage.CLASSIFY, 100, owner, leaving, [*gateway_passage(facts, owner, router).leaving, *out])
    for address, limited in _apart(facts, owner, router):
        yield flow(Stage.CLASSIFY, 110, owner, leaving | {"ipv4_src": address}, [*limited.leaving, *out])
    at_router: dict[str, object] = {ROUTER: number, **_FORWARD}
    for subnet_id in facts.found("subnet@network", gateway.network_id):
        subnet = facts.subnet(subnet_id)
        if subnet and ":" not in subnet.cidr:
            priority = 100 + IPv4Network(subnet.cidr, strict=False).prefixlen
            on_link: list[Action] = [Move("ipv4_dst", NEXTHOP), Goto(Stage.NEIGHBOUR)]
            yield flow(Stage.LEAVE, priority, owner, at_router | {"ipv4_dst": subnet.cidr}, on_link)
    for destination, nexthops in outer_routes(facts, router).items():
        if ":" not in destination:
            hops = [set_field(NEXTHOP, int(IPv4Address(each))) for each in nexthops]
            ways: list[list[Action]] = [[hop, Goto(Stage.NEIGHBOUR)] for hop in hops]
            actions, groups = spread(facts, owner, f"{router.id}/{destination}/out", ways)
            yield from groups
            priority = 100 + IPv4Network(destination).prefixlen
            yield flow(Stage.LEAVE, priority, owner, at_router | {"ipv4_dst": destination}, actions)
    if gateway.nexthop and ":" not in gateway.nexthop:
        nexthop = set_field(NEXTHOP, int(IPv4Address(gateway.nexthop)))
        yield flow(Stage.LEAVE, 50, owner, at_router, [nexthop, Goto(Stage.NEIGHBOUR)])


def _on_external(facts: Facts, owner: Owner, router: view.Router, nat: int) -> Iterator[Part]:
    """ARP is answered here and nowhere else, and what comes for the gateway's MAC goes into the namespace."""
    gateway = router.gateway
    network = facts.network(gateway.network_id) if gateway else None
    assert gateway is not None and network is not None
    here: dict[str, object] = {NET: facts.number("network", network.id)}
    into: list[Action] = [set_field("eth_src", OUTSIDE), set_field("eth_dst", NAMESPACE), Output(nat)]
    arriving = here | {"eth_dst": gateway.mac, **_FORWARD}
    yield flow(Stage.FLOATING_IN, 90, owner, arriving, [*gateway_passage(facts, owner, router).arriving, *into])
    for address, limited in _apart(facts, owner, router):
        yield from limited.meters
        yield flow(Stage.FLOATING_IN, 95, owner, arriving | {"ipv4_dst": address}, [*limited.arriving, *into])
    from_outside = here | {ORIGIN: FROM_PROVIDER, "eth_type": 0x0806}
    yield unanswered(owner, from_outside, gateway.mac)
    for address in addresses(router):
        asked = from_outside | {"arp_op": 1, "arp_tpa": address}
        answer = [*arp_reply(address, gateway.mac), *tag(network), Output(IN_PORT)]
        yield flow(Stage.ANSWER, 100, owner, asked, answer)
        yield reply_heard(owner, from_outside, address, gateway.mac)
        # A guest of this host with a floating IP, or a router of it, has this address as its next hop.
        nearby = here | {NEXTHOP: int(IPv4Address(address))}
        again: list[Action] = [set_field("eth_dst", gateway.mac), Resubmit(Stage.FLOATING_IN)]
        yield flow(Stage.NEIGHBOUR, 80, owner, nearby, again)


def _apart(facts: Facts, owner: Owner, router: view.Router) -> Iterator[tuple[str, Passage]]:
    """The addresses whose L4 ports are forwarded, if they are counted otherwise than the gateway is."""
    policies = dict(router.limited)
    if policies or (router.gateway and router.gateway.qos_id):
        for address in sorted({each.address for each in router.forwardings}):
            yield address, passage(facts, owner, f"{router.id}/{address}", policies.get(address))


def _nat(facts: Facts, router: view.Router, gateway: view.Gateway, mtu: int) -> Nat:
    subnets = map(facts.subnet, facts.found("subnet@network", gateway.network_id))
    outside = {each.cidr for each in subnets if each} | outer_routes(facts, router).keys()
    legs = {each.cidr for each in router.interfaces if ":" not in each.cidr}
    routes = [each for each in extra_routes(facts, router) if ":" not in each.destination + each.nexthop]
    static = {each.destination for each in routes if any(IPv4Address(each.nexthop) in IPv4Network(leg) for leg in legs)}
    return Nat(
        router.id,
        tuple(addresses(router)),
        inside=tuple(sorted(legs | static)),
        outside=tuple(sorted(cidr for cidr in outside if ":" not in cidr)),
        source=gateway.ip or "" if gateway.snat else "",
        plain=tuple(sorted(gateway.plain)),
        forwardings=router.forwardings,
        mtu=mtu,
    )


PRODUCERS: Final[Producers] = {"bridge": bridge_flows, "router": router_flows, "vtep": vtep_flows}
