"""What a person asks of a host: which flows has this port, and why doesn't its packet arrive? Pure, on a world.

`why` walks one packet through the flows that this host should have (pipeline/simulate): what another host does with a
packet that left by the tunnel is asked there.
"""

import re
from collections.abc import Iterator
from ipaddress import IPv4Address

import msgspec

from suimon.model.owner import Owner
from suimon.model.view import Port
from suimon.pipeline.flow import Flow, Group
from suimon.pipeline.shared import set_name
from suimon.pipeline.simulate import Ends, Packet, Switch, trace_text
from suimon.pipeline.simulate.sender import QuestionError, Wanted, address, first_address, found_mac, leaving, opening
from suimon.pipeline.world import World

__all__ = ["QuestionError", "Why", "flows_text", "found_port", "why"]


class Why(msgspec.Struct, frozen=True):
    """A packet of the port at `port` (an id or its beginning) to `to`, or from `source` to the port.

    `as_mac` and `as_ip` are what the guest claims to be in what it sends; empty for what the port really is.
    """

    port: str
    to: str = ""
    source: str = ""
    protocol: str = "icmp"
    l4_port: int = 0
    as_mac: str = ""
    as_ip: str = ""


def flows_text(world: World, port: str = "") -> list[str]:
    """The flows and groups this host should have, by stage; only those for one port if it is named."""
    only = _owners_of(world, found_port(world, port)) if port else None
    flows, groups = _compiled(world, only)
    flows.sort(key=lambda flow: (flow.key.stage, -flow.key.priority, flow.key.match))
    return [*map(str, flows), *map(str, groups)]


def why(world: World, question: Why) -> list[str]:
    """Every lookup of the packet, then what became of it in words."""
    port = found_port(world, question.port)
    if bool(question.to) == bool(question.source):
        raise QuestionError("ask for one direction: --to or --from")
    if question.source and (question.as_mac or question.as_ip):
        raise QuestionError("--as-mac and --as-ip are about what the port sends: ask with --to")
    packet = _towards(world, port, question) if question.source else _leaving(world, port, question)
    flows, groups = _compiled(world, None)
    names = [f"port {world.ofports[name]} is the interface of port {name}" for name in _plugged(world)]
    names += [f"port {ofport} leads to provider network {physnet}" for physnet, ofport in world.physnets.items()]
    names += [f"port {ofport} is the tunnel to other hosts ({kind})" for kind, ofport in world.tunnels.items()]
    text = trace_text(Switch(flows, groups).process(packet))
    numbers = set(re.findall(r"(?:port |output:)(\d+)\b", text))
    mentioned = [each for each in names if each.split()[1] in numbers]
    return [*text.splitlines(), *(f"({each})" for each in mentioned)]


def found_port(world: World, name: str) -> Port:
    """The port of this host whose id starts with `name`, or that has this name or address."""
    ports = [thing for thing in world.objects.values() if isinstance(thing, Port)]
    exact = [port for port in ports if port.id == name]
    matching = exact or [
        port
        for port in ports
        if name and (port.id.startswith(name) or port.name == name or name in [each.ip for each in port.fixed_ips])
    ]
    if not matching:
        raise QuestionError(f"no port {name!r} is bound to this host")
    if len(matching) > 1:
        raise QuestionError(f"{name!r} is any of {', '.join(sorted(port.id for port in matching))}: name one")
    return matching[0]


def _compiled(world: World, only: set[Owner] | None) -> tuple[list[Flow], list[Group]]:
    programs = [world.compile(owner) for owner in world.owners() if only is None or owner in only]
    return [flow for each in programs for flow in each.flows], [group for each in programs for group in each.groups]


def _owners_of(world: World, port: Port) -> set[Owner]:
    """The port itself, its security groups and its floating IPs; what it shares with others is left out."""
    owners = {Owner("port", port.id), Owner("group_set", set_name(port))}
    owners |= {Owner("group", name) for name in port.groups}
    return owners | {Owner("floating_ip", name) for name in world.found("floating_ip@port", port.id)}


def _plugged(world: World) -> Iterator[str]:
    return (name for name in world.ofports if world.port(name))


def _leaving(world: World, port: Port, question: Why) -> Packet:
    """What the guest sends: to the MAC that ARP would tell it for the destination or for its gateway."""
    ofport = world.ofports.get(port.id)
    if ofport is None:
        raise QuestionError(f"port {port.id} has no interface on this host: nothing it sends comes in")
    network = world.network(port.network_id)
    if not port.up or (network and not network.up):
        down = "port" if not port.up else "network of port"
        raise QuestionError(f"the {down} {port.id} is administratively down: nothing it sends comes in")
    return leaving(world, port, question.to, _wanted(question)).arriving(ofport)


def _towards(world: World, port: Port, question: Why) -> Packet:
    """What another guest sends to the port: from here if it is here, else as it comes from its host, routed or not."""
    source = address(question.source)
    own, subnet_id = first_address(port)
    near = _reachable(world, port.network_id)
    for sender in (world.port(name) for each in near for name in world.found("port@network", each)):
        if sender and source in [each.ip for each in sender.fixed_ips]:
            return _leaving(world, sender, msgspec.structs.replace(question, to=own, source=""))
    peers = (world.peer(name) for each in near for name in world.found("peer@network", each))
    peer = next((each for each in peers if each and source in each.ips), None)
    network = world.network(port.network_id)
    if peer is None or network is None:
        raise QuestionError(f"this host knows no port with the address {source}")
    subnet = world.subnet(subnet_id)
    gateway = subnet.gateway_ip if subnet else None
    mac = peer.mac if peer.network_id == network.id else found_mac(world, network.id, gateway or "") or peer.mac
    packet = opening(Ends(mac, port.mac, source, own), _wanted(question))
    if network.tunnelled:
        ofport = world.tunnel(network)
        if ofport is None or peer.vtep is None:
            raise QuestionError("the tunnel is not there: nothing comes from other hosts")
        tunnel = {"tun_id": network.segment or 0, "tun_src": int(IPv4Address(peer.vtep)), "tun_dst": 0}
        return packet.arriving(ofport, tunnel)
    ofport = world.physnets.get(network.physnet or "")
    if ofport is None:
        raise QuestionError(f"provider network {network.physnet} is not attached to this host")
    tag = {"vlan_vid": 0x1000 | (network.segment or 0)} if network.kind == "vlan" else {}
    return packet.with_fields(tag).arriving(ofport)


def _reachable(world: World, network_id: str) -> list[str]:
    """The network, then those that its routers join to it: the same addresses elsewhere are somebody else's."""
    routers = (world.router(name) for name in world.found("router@network", network_id))
    joined = (leg.network_id for router in routers if router for leg in router.interfaces)
    return list(dict.fromkeys([network_id, *joined]))


def _wanted(question: Why) -> Wanted:
    return Wanted(question.protocol, question.l4_port, question.as_mac, question.as_ip)
