"""The oracle: who should get a frame, by what the API says and nothing else.

It reads like a walk through Neutron's semantics. There are no hosts in it but as the place that a port's connections
are remembered at: where somebody is makes no difference to who reaches whom.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from typing import Any, Final, NamedTuple

from tests.oracle.bodies import addresses, fixed_ips, is_gateway, is_leg, led_on, seated, speaks_ipv6
from tests.oracle.frame import ECHO, ECHO_REPLY, TCP, UDP, Arrival, Frame, link_local, turned
from tests.oracle.guard import (
    Body,
    Connections,
    Rules,
    asks_for_lease,
    blocked,
    genuine,
    identities,
    macs,
    may_open,
    within,
)
from tests.oracle.local import Led, LocalIps
from tests.oracle.restricted import binding, closed_by, left_in_quarantine, quarantined

Resources = dict[str, list[Body]]
"""What GET says of each collection, and `machines` that are on external networks: id, network_id, mac, ips."""
ANY_MAC: Final = "*"
"""A source that is the routing host's own affair."""
_SERVICES6: Final = "fe80::a9fe:a9fe"
SERVICES: Final = {"169.254.169.254": "02:5a:00:00:00:fe", _SERVICES6: "02:5a:00:00:00:fe"}
_SERVED: Final = ((TCP, 80), (TCP, 53), (UDP, 53))
_TUPLE: Final = ("src", "dst", "first", "second")
_MOST_HOPS: Final = 20


class Way(NamedTuple):
    """A route: where to, by which leg (None: the gateway), and the next hop (None: on the link)."""

    cidr: str
    leg: Body | None
    nexthop: str | None
    extra: bool = False


class Unsaid(Exception):
    """What becomes of an ICMP error whose quotation is translated: that is the agents' part, whom nobody has here."""


class Memory:
    """What survives changes of the cloud: connections of ports and of routers that lead outside, which of several next
    hops a connection took, and who found whom at a local IP.
    """

    def __init__(self) -> None:
        self.connections = Connections()
        self.rewritten: dict[tuple[str, Any], dict[str, object]] = {}
        self.taken: dict[tuple[object, ...], int] = {}
        self.led: Led = {}


class Oracle:
    """Asked with `from_port` and `from_machine`; each question may be remembered (see `Memory`). `possible` says all
    that may be the answer.
    """

    def __init__(self, resources: Resources, memory: Memory) -> None:
        self._memory, self._all = memory, resources
        self.ports = {port["id"]: port for port in resources["ports"] if seated(port)}
        self._networks = {network["id"]: network for network in resources["networks"]}
        self._subnets = {subnet["id"]: subnet for subnet in resources["subnets"]}
        self._routers = {router["id"]: router for router in resources["routers"]}
        self._floating = [each for each in resources["floatingips"] if each["port_id"] in self.ports]
        stateful = {group["id"]: group["stateful"] for group in resources["security-groups"]}
        self._rules = Rules(resources["security-group-rules"], stateful, self._members())
        memory.connections.forget_all_but(list(self.ports.values()))
        self._choices: list[int] = []
        """Which next hop is taken, one time after the other that there are several; then the first."""
        self.offered: list[int] = []
        """Of how many, each time, since the question was asked."""

    @property
    def _local(self) -> LocalIps:
        return LocalIps(self._all["local_ips"], self.ports, self._up, self._memory.led)

    def possible(self, ask: Callable[[], set[Arrival]]) -> Iterator[set[Arrival]]:
        """What a question may be answered with: more than one thing where a router has several next hops for it. What
        is remembered is what led to the one that was told last.
        """
        before = copy.deepcopy(vars(self._memory))
        choices: list[int] | None = []
        while choices is not None:
            vars(self._memory).update(copy.deepcopy(before))
            self._choices, self.offered = choices, []
            yield ask()
            choices = _next_choices(self._choices, self.offered)

    def from_port(self, port_id: str, frame: Frame) -> set[Arrival]:
        """Its interface hands the frame over."""
        port = self.ports[port_id]
        if not self._up(port) or blocked(self._blocks(port), "egress", frame):
            return set()
        served = frame.what == "ip" and frame.dst in SERVICES and (frame.protocol, frame.second) in _SERVED
        if quarantined(self._restrictions(port)) and not (
            served or left_in_quarantine(frame, leased=self._leased(port))
        ):
            return set()
        secure = port["port_security_enabled"]
        if asks_for_lease(frame) and self._leased(port):
            return {Arrival("agent", frame)} if not secure or frame.eth_src in macs(port) else set()
        wondering = self._wonders(port, frame)
        if secure and not genuine(port, frame) and not wondering:
            return set()
        if served:
            return {Arrival("services", frame)} if frame.src in addresses(port) or wondering else set()
        if frame.what == "ip" and not self._admitted(port, "egress", frame):
            return set()
        return self._on_link(port["network_id"], frame, port)

    def from_machine(self, machine: Body, frame: Frame) -> set[Arrival]:
        """A machine on an external network sends it."""
        return self._on_link(machine["network_id"], frame, machine)

    def unanswered(self, port_id: str, frame: Frame) -> set[Arrival] | None:
        """Who gets a question that no host answers, where that may be: frames of a provider network go by switches
        that know its ports, and a host need not. None where a host has to.
        """
        port = self.ports[port_id]
        if not frame.asks or frame.what not in ("arp", "nd") or not self._shared_wire(port["network_id"]):
            return None
        sent = self._up(port) and (genuine(port, frame) or not port["port_security_enabled"])
        return self._reached(port["network_id"], frame, port) if sent else set()

    # On one network.

    def _on_link(self, network_id: str, frame: Frame, sender: Body, hops: int = 0) -> set[Arrival]:
        if not self._networks[network_id]["admin_state_up"]:
            return set()
        guest = sender["id"] in self.ports and not hops
        if guest and self._local.is_own(sender, frame):
            return set()
        asked = (frame.about or frame.dst) if frame.asks and frame.what in ("arp", "nd") else ""
        if asked and frame.src != "::" and (mac := self._answering(network_id, asked, sender)):
            return {Arrival(sender["id"], _answered(frame, asked, mac))}
        if guest:
            if frame.quoted and self._local.concerns(sender, frame):
                raise Unsaid
            frame = self._local.on_its_way(sender, frame)
        if not frame.flooded:
            for leg in self._legs(network_id):
                if frame.eth_dst == leg["mac_address"] and (hops or sender["id"] in self.ports):
                    return self._routed(leg["device_id"], frame, sender, hops, leg) if frame.what == "ip" else set()
            for floating in self._floating_on(network_id):
                if (frame.eth_dst, frame.dst) == (self._floating_mac(floating), floating["floating_ip_address"]):
                    return self._to_floating(floating, frame, sender, hops)
            for gateway in self._gateways(network_id):
                if frame.eth_dst == gateway["mac_address"]:
                    return (
                        self._from_outside(gateway["device_id"], frame, sender, hops) if frame.what == "ip" else set()
                    )
        if guest and frame.what == "ip" and not self._shared_wire(network_id):
            frame = self._redirected(network_id, frame)
        return self._reached(network_id, frame, sender, itself=hops > 0)

    def _redirected(self, network_id: str, frame: Frame) -> Frame:
        """What is sent to a MAC that no port of the network has goes to the port with its address."""
        here = [port for port in self.ports.values() if port["network_id"] == network_id and not frame.flooded]
        found = [port["mac_address"] for port in here if frame.dst in addresses(port)]
        return frame.but(eth_dst=found[0]) if found and not self._receivers(network_id, frame) else frame

    def _reached(self, network_id: str, frame: Frame, sender: Body, *, itself: bool = False) -> set[Arrival]:
        """Everybody on the network whom the frame is for, and who takes it; the sender by way of a router only, and
        what machines say among themselves is no matter of ours.
        """
        if self._shared_wire(network_id) and frame.eth_src in {leg["mac_address"] for leg in self._legs(network_id)}:
            frame = frame.but(eth_src=ANY_MAC)
        reached = self._machines_reached(network_id, frame) if itself or "ips" not in sender else set()
        for port in self._receivers(network_id, frame):
            if (itself or port is not sender) and self._welcome(port, frame):
                reached.add(Arrival(port["id"], frame))
        return reached

    def _receivers(self, network_id: str, frame: Frame) -> list[Body]:
        here = [port for port in self.ports.values() if port["network_id"] == network_id]
        if frame.flooded:
            return here
        owners = [port for port in here if port["mac_address"] == frame.eth_dst]
        return owners or [port for port in here if frame.eth_dst in macs(port)]

    def _machines_reached(self, network_id: str, frame: Frame) -> set[Arrival]:
        there = [each for each in self._all["machines"] if each["network_id"] == network_id]
        return {Arrival(each["id"], frame) for each in there if frame.flooded or frame.eth_dst == each["mac"]}

    def _welcome(self, port: Body, frame: Frame) -> bool:
        """Whether the port gets what arrives for it."""
        if not self._up(port) or blocked(self._blocks(port), "ingress", frame):
            return False
        if quarantined(self._restrictions(port)) and frame.what not in ("arp", "nd"):
            return False
        if self._local.silences(port["network_id"], port["binding:host_id"], frame):
            return False
        if frame.what == "ip":
            return self._admitted(port, "ingress", frame)
        return frame.what in ("arp", "nd") or not port["port_security_enabled"]

    def _answering(self, network_id: str, ip: str, sender: Body) -> str | None:
        """The MAC that answers for an address. Who asks for its own looks for a rival, and must not find itself."""
        if sender["id"] not in self.ports:
            # Guests answer machines themselves.
            return self._outer_macs(network_id).get(ip)
        if mac := self._local.mac(sender, ip):
            return mac
        if ip in addresses(sender) and sender["network_id"] == network_id:
            return None
        return self._macs(network_id, local=True).get(ip) or SERVICES.get(ip)

    def _macs(self, network_id: str, *, local: bool = False) -> dict[str, str]:
        """Who has which address on the network; with `local`, link-local addresses as well."""
        found = self._outer_macs(network_id)
        for port in self.ports.values():
            if port["network_id"] == network_id:
                ips = addresses(port) if local else fixed_ips(port)
                found |= dict.fromkeys(ips, port["mac_address"])
        for leg in self._legs(network_id):
            ips = [*fixed_ips(leg), *([link_local(leg["mac_address"])] if local and speaks_ipv6(leg) else [])]
            found |= dict.fromkeys(ips, leg["mac_address"])
        return found

    def _outer_macs(self, network_id: str) -> dict[str, str]:
        """What routers and floating IPs answer for on an external network."""
        found = {each["floating_ip_address"]: self._floating_mac(each) for each in self._floating_on(network_id)}
        for gateway in self._gateways(network_id):
            forwarded = [each["floating_ip_address"] for each in self._forwardings(gateway["device_id"])]
            six = (
                [link_local(gateway["mac_address"]), *self._proxied(gateway["device_id"])]
                if speaks_ipv6(gateway)
                else []
            )
            found |= dict.fromkeys([*fixed_ips(gateway), *forwarded, *six], gateway["mac_address"])
        return found

    # Through routers.

    def _routed(self, router_id: str, frame: Frame, sender: Body, hops: int, via: Body | None) -> set[Arrival]:
        """A router has the frame, from its leg `via` or from outside."""
        legs = [leg for leg in self._all["ports"] if is_leg(leg) and leg["device_id"] == router_id]
        outer = [ip for ip in fixed_ips(self._gateway(router_id) or {"fixed_ips": ()}) if ":" in ip]
        own = [*outer, *(ip for leg in legs for ip in fixed_ips(leg))]
        if via and hops and frame.dst in fixed_ips(via):
            return self._answered_on_link(frame, sender, hops, via)
        if frame.dst in own and (hops or via is None):
            return self._answered_from_afar(router_id, frame, sender, hops, legs)
        if frame.dst in own or (via and frame.dst == link_local(via["mac_address"])):
            return self._pinged(frame, sender, frame.eth_src)
        if frame.ttl <= 1 or hops > _MOST_HOPS or frame.dst.startswith(("fe80", "ff")) or frame.src.startswith("fe80"):
            return set()
        ways = [way for way in self._ways(router_id, legs) if within(frame.dst, way.cidr)]
        if not ways:
            return set()
        longest = max(ip_network(way.cidr).prefixlen for way in ways)
        way = self._taken(router_id, frame, [way for way in ways if ip_network(way.cidr).prefixlen == longest])
        nexthop = way.nexthop or frame.dst
        if way.leg is None:
            if via is None:
                lost = frame.ipv6 and way.nexthop and not way.extra
                return set() if lost else self._turned_round(router_id, frame, sender, nexthop, hops)
            return self._leaving(router_id, frame, sender, nexthop, hops)
        network_id, mac = way.leg["network_id"], way.leg["mac_address"]
        if via and way.extra and sender["network_id"] == network_id and nexthop in addresses(sender):
            # Whoever is the next hop has no use for the router: it would get back what it had.
            return set()
        onwards = frame.but(eth_src=mac, ttl=frame.ttl - 1)
        return self._hop(network_id, onwards, nexthop, sender, hops)

    def _taken(self, router_id: str, frame: Frame, ways: list[Way]) -> Way:
        """Subnets come first. Of several extra routes any is taken, but one by the same connection as long as they are
        the same; those by a leg first.
        """
        extra = sorted((way for way in ways if way.extra), key=lambda way: str(way.nexthop))
        extra = [way for way in extra if way.leg] or extra
        if not ways[0].extra or len(extra) == 1:
            return (extra if ways[0].extra else ways)[0]
        connection = (router_id, tuple(way.nexthop for way in extra), _ends(frame))
        if connection not in self._memory.taken:
            met = len(self.offered)
            self.offered.append(len(extra))
            self._memory.taken[connection] = self._choices[met] if met < len(self._choices) else 0
        return extra[self._memory.taken[connection]]

    def _hop(self, network_id: str, frame: Frame, nexthop: str, sender: Body, hops: int) -> set[Arrival]:
        machines = [each for each in self._all["machines"] if each["network_id"] == network_id]
        known = self._macs(network_id) | {ip: each["mac"] for each in machines for ip in each["ips"]}
        if nexthop not in known:
            return set()
        return self._on_link(network_id, frame.but(eth_dst=known[nexthop]), sender, hops + 1)

    def _pinged(self, frame: Frame, sender: Body, eth_dst: str) -> set[Arrival]:
        """A router's own address answers pings and nothing else."""
        if frame.first != ECHO.get(frame.protocol) or frame.second:
            return set()
        answer = frame.but(src=frame.dst, dst=frame.src, first=ECHO_REPLY[frame.protocol], eth_src=ANY_MAC)
        return {Arrival(sender["id"], answer.but(eth_dst=eth_dst, ttl=64))}

    def _answered_from_afar(
        self, router_id: str, frame: Frame, sender: Body, hops: int, legs: list[Body]
    ) -> set[Arrival]:
        """Who asks from behind another router, or from outside, gets the answer by the router's own routes."""
        if frame.first != ECHO.get(frame.protocol) or frame.second:
            return set()
        answer = frame.but(src=frame.dst, dst=frame.src, first=ECHO_REPLY[frame.protocol], ttl=64)
        return self._routed(router_id, answer, sender, hops + 1, legs[0])

    def _answered_on_link(self, frame: Frame, sender: Body, hops: int, leg: Body) -> set[Arrival]:
        """Another router brings a ping for this leg, or for the gateway's address: it gets the answer, whatever routes
        this one has.
        """
        if frame.first != ECHO.get(frame.protocol) or frame.second:
            return set()
        answer = frame.but(src=frame.dst, dst=frame.src, first=ECHO_REPLY[frame.protocol], ttl=64)
        ends = {"eth_src": leg["mac_address"], "eth_dst": frame.eth_src}
        return self._on_link(leg["network_id"], answer.but(**ends), sender, hops + 1)

    def _ways(self, router_id: str, legs: list[Body]) -> Iterator[Way]:
        """Connected subnets, extra routes, the external network's subnets, and the way out."""
        gateway = self._gateway(router_id)
        links: list[tuple[str, Body | None]] = []
        for leg in legs:
            links += [(self._subnets[fixed["subnet_id"]]["cidr"], leg) for fixed in leg["fixed_ips"]]
        outside = [each for each in self._subnets.values() if gateway and each["network_id"] == gateway["network_id"]]
        links += [(subnet["cidr"], None) for subnet in outside]
        for cidr, leg in links:
            yield Way(cidr, leg, None)
        for route in self._routers[router_id]["routes"]:
            found = [leg for cidr, leg in links if within(route["nexthop"], cidr)]
            if found:
                yield Way(route["destination"], found[0], route["nexthop"], extra=True)
        for fixed in gateway["fixed_ips"] if gateway else ():
            subnet = self._subnets[fixed["subnet_id"]]
            if subnet["gateway_ip"]:
                yield Way("::/0" if ":" in subnet["cidr"] else "0.0.0.0/0", None, subnet["gateway_ip"])

    # To the outside and back.

    def _leaving(self, router_id: str, frame: Frame, sender: Body, nexthop: str, hops: int) -> set[Arrival]:
        """By the sender's floating IP, or else as the router."""
        _require_translatable(frame)
        gateway = self._gateway(router_id)
        assert gateway, "it has a way out"
        hides = not frame.ipv6 and self._routers[router_id]["external_gateway_info"]["enable_snat"]
        frame = frame.but(ttl=frame.ttl - 1, eth_src=gateway["mac_address"])
        for floating in self._floating:
            behind = (floating["router_id"], floating["port_id"], floating["fixed_ip_address"])
            if behind == (router_id, sender["id"], frame.src):
                as_floating = {"src": floating["floating_ip_address"], "eth_src": self._floating_mac(floating)}
                return self._hop(gateway["network_id"], frame.but(**as_floating), nexthop, sender, hops)
        known = self._known(router_id, frame)
        if known and known.dst != frame.dst:
            return self._routed(router_id, known, sender, hops + 1, None)
        if known:
            return self._hop(gateway["network_id"], known, nexthop, sender, hops)
        if frame.dst in self._outer_ips(router_id):
            return self._at_outer_ip(router_id, frame, sender, hops, gateway)
        if hides and not may_open(frame):
            return set()
        own = next(ip for ip in fixed_ips(gateway) if ":" not in ip) if hides else frame.src
        frame = self._remembered(router_id, frame, frame.but(src=own))
        return self._hop(gateway["network_id"], frame, nexthop, sender, hops)

    def _turned_round(self, router_id: str, frame: Frame, sender: Body, nexthop: str, hops: int) -> set[Arrival]:
        """What came from outside and has no way but out again keeps its addresses; IPv6 is dropped where that way is
        the default one.
        """
        gateway = self._gateway(router_id)
        assert gateway, "it came in by it"
        turned = frame.but(ttl=frame.ttl - 1, eth_src=gateway["mac_address"])
        return self._hop(gateway["network_id"], turned, nexthop, sender, hops)

    def _from_outside(self, router_id: str, frame: Frame, sender: Body, hops: int) -> set[Arrival]:
        """What came to the gateway's MAC: an answer, a forwarded L4 port, or, where nothing is hidden, any packet."""
        _require_translatable(frame)
        gateway = self._gateway(router_id)
        if frame.ipv6:
            if gateway and frame.dst in fixed_ips(gateway):
                if hops:
                    return self._answered_on_link(frame, sender, hops, gateway)
                return self._pinged(frame, sender, frame.eth_src)
            if not self._lets_in(router_id, frame.dst):
                return set()
            return self._routed(router_id, frame, sender, hops, None) if gateway and speaks_ipv6(gateway) else set()
        if known := self._known(router_id, frame):
            return self._routed(router_id, known, sender, hops, None)
        if frame.dst in self._outer_ips(router_id):
            return self._at_outer_ip(router_id, frame, sender, hops, None)
        if self._routers[router_id]["external_gateway_info"]["enable_snat"]:
            return set()
        return self._routed(router_id, self._remembered(router_id, frame, frame), sender, hops, None)

    def _at_outer_ip(self, router_id: str, frame: Frame, sender: Body, hops: int, inside: Body | None) -> set[Arrival]:
        """Some L4 ports of a router's outer addresses lead on, pings are answered, and that is all. For who comes from
        inside, the router stands for itself, so that answers come back to it.
        """
        if not may_open(frame):
            return set()
        for one in self._forwardings(router_id):
            if forwarded := led_on(one, frame):
                if inside:
                    forwarded = forwarded.but(src=min(self._outer_ips(router_id)))
                self._remembered(router_id, frame, forwarded)
                return self._routed(router_id, forwarded, sender, hops, None)
        if frame.first != ECHO.get(frame.protocol) or frame.second:
            return set()
        answer = frame.but(src=frame.dst, dst=frame.src, first=ECHO_REPLY[frame.protocol], ttl=64)
        return self._routed(router_id, answer, sender, hops + 1, None)

    def _known(self, router_id: str, frame: Frame) -> Frame | None:
        """As it goes on if it answers what passed where the router rewrites addresses, whatever has changed since."""
        known = None if frame.ipv6 else self._memory.rewritten.get((router_id, _ends(frame)))
        return frame.but(**known) if known else None

    def _remembered(self, router_id: str, frame: Frame, changed: Frame) -> Frame:
        """The changed one; its answers are known."""
        if may_open(frame) and not frame.ipv6:
            undone = turned(frame)
            self._memory.rewritten[router_id, _ends(turned(changed))] = {name: getattr(undone, name) for name in _TUPLE}
        return changed

    def _outer_ips(self, router_id: str) -> set[str]:
        """A router's IPv4 addresses outside: its own, and those that it forwards for."""
        gateway = self._gateway(router_id)
        own = {ip for ip in fixed_ips(gateway) if ":" not in ip} if gateway else set()
        return own | {one["floating_ip_address"] for one in self._forwardings(router_id)}

    def _to_floating(self, floating: Body, frame: Frame, sender: Body, hops: int) -> set[Arrival]:
        _require_translatable(frame)
        router = self._routers[floating["router_id"]]
        port = self.ports[floating["port_id"]]
        if not router["admin_state_up"] or frame.ttl <= 1 or frame.what != "ip":
            return set()
        leg = next(leg for leg in self._legs(port["network_id"]) if leg["device_id"] == router["id"])
        inside = {"dst": floating["fixed_ip_address"], "eth_src": leg["mac_address"], "eth_dst": port["mac_address"]}
        return self._on_link(port["network_id"], frame.but(**inside, ttl=frame.ttl - 1), sender, hops + 1)

    # Looking things up.

    def _admitted(self, port: Body, direction: str, frame: Frame) -> bool:
        """The security groups' word. Without port security there are none, and nothing is remembered."""
        if not port["port_security_enabled"]:
            return True
        if frame.ipv6 and not speaks_ipv6(port) and direction == "ingress":
            return False
        if not self._rules.stateful(port):
            return self._rules.allow(port, direction, frame)
        opened = self._memory.connections.opener(port, direction, frame)
        if opened is None or not self._rules.allow(port, *opened):
            return False
        if opened[0] != direction and blocked(self._blocks(port), *opened):
            return False
        self._memory.connections.remember(port, opened[1])
        return True

    def _up(self, port: Body) -> bool:
        return bool(port["admin_state_up"] and self._networks[port["network_id"]]["admin_state_up"])

    def _wonders(self, port: Body, frame: Frame) -> bool:
        """A guest that knows no address of its own asks the services which it has, and where they are: from the
        link-local one that anybody makes of his MAC, if it has no other of IPv6 and no DHCP tells it one of IPv4.
        """
        mac = port["mac_address"]
        honest = frame.eth_src == mac or not port["port_security_enabled"]
        if frame.src != link_local(mac) or not honest or self._leased(port):
            return False
        if frame.what == "nd":
            return frame.asks and (frame.about, frame.mac) == (_SERVICES6, mac)
        return frame.what == "ip" and frame.dst == _SERVICES6 and (frame.protocol, frame.second) in _SERVED

    def _leased(self, port: Body) -> bool:
        fixed = [each for each in port["fixed_ips"] if ":" not in each["ip_address"]]
        return any(self._subnets[each["subnet_id"]]["enable_dhcp"] for each in fixed)

    def _shared_wire(self, network_id: str) -> bool:
        return self._networks[network_id]["provider:network_type"] in ("vlan", "flat")

    def _blocks(self, port: Body) -> list[Body]:
        """By its policy, and by the operator."""
        policy = port["qos_policy_id"] or self._networks[port["network_id"]]["qos_policy_id"]
        found = [block for block in self._all["blocks"] if block["policy_id"] == policy]
        return found + closed_by(self._restrictions(port))

    def _restrictions(self, port: Body) -> list[Body]:
        return binding(port, self._all["restrictions"], self._all["trunks"], self._floating)

    def _legs(self, network_id: str) -> list[Body]:
        """Of routers that are up."""
        return [
            port
            for port in self._all["ports"]
            if is_leg(port) and port["network_id"] == network_id and self._routers[port["device_id"]]["admin_state_up"]
        ]

    def _gateway(self, router_id: str) -> Body | None:
        return next((p for p in self._all["ports"] if is_gateway(p) and p["device_id"] == router_id), None)

    def _gateways(self, network_id: str) -> list[Body]:
        """Of routers that are up."""
        ports = [port for port in self._all["ports"] if is_gateway(port) and port["network_id"] == network_id]
        return [port for port in ports if self._routers[port["device_id"]]["admin_state_up"]]

    def _floating_on(self, network_id: str) -> list[Body]:
        return [each for each in self._floating if each["floating_network_id"] == network_id]

    def _floating_mac(self, floating: Body) -> str:
        return str(next(p["mac_address"] for p in self._all["ports"] if p["device_id"] == floating["id"]))

    def _proxied(self, router_id: str) -> set[str]:
        """The IPv6 addresses behind a router that it answers for outside."""
        if not self._routers[router_id]["enable_ndp_proxy"]:
            return set()
        return {one["ip_address"] for one in self._all["ndp_proxies"] if one["router_id"] == router_id}

    def _lets_in(self, router_id: str, ip: str) -> bool:
        """Of its own networks, a router that is an NDP proxy lets in what is for the addresses that it answers for."""
        if not self._routers[router_id]["enable_ndp_proxy"] or ip in self._proxied(router_id):
            return True
        legs = [leg for leg in self._all["ports"] if is_leg(leg) and leg["device_id"] == router_id]
        cidrs = [self._subnets[fixed["subnet_id"]]["cidr"] for leg in legs for fixed in leg["fixed_ips"]]
        return not any(within(ip, cidr) for cidr in cidrs)

    def _forwardings(self, router_id: str) -> list[Body]:
        own = {each["id"]: each for each in self._all["floatingips"] if each["router_id"] == router_id}
        return [one | own[one["fip"]] for one in self._all["port_forwardings"] if one["fip"] in own]

    def _members(self) -> dict[str, set[str]]:
        """Of security groups the addresses of their ports, pairs too; of address groups their own."""
        found: dict[str, set[str]] = {each["id"]: set(each["addresses"]) for each in self._all["address-groups"]}
        for port in self._all["ports"]:
            for group in port["security_groups"]:
                found.setdefault(group, set()).update(cidr for _, cidr in identities(port))
        return found


def _require_translatable(frame: Frame) -> None:
    """Raises Unsaid."""
    if frame.quoted and not frame.ipv6:
        raise Unsaid


def _answered(frame: Frame, asked: str, mac: str) -> Frame:
    ends = {"eth_src": mac, "eth_dst": frame.eth_src, "src": asked, "dst": frame.src}
    return frame.but(**ends, mac=mac, asks=False, ttl=255 if frame.what == "nd" else frame.ttl)


def _next_choices(choices: list[int], offered: list[int]) -> list[int] | None:
    """The last one that can be another is."""
    made = [*choices, *[0] * (len(offered) - len(choices))]
    for at in reversed(range(len(offered))):
        if made[at] + 1 < offered[at]:
            return [*made[:at], made[at] + 1]
    return None


def _ends(frame: Frame) -> tuple[object, ...]:
    return frame.protocol, frame.ident, *(getattr(frame, name) for name in _TUPLE)
