"""The cloud that suffers: guests that nobody changes, and the ways between them whose packets are counted."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from suimon.lab.guests import Guest
from suimon.lab.lab import Lab
from suimon.lab.layout import PUBLIC_GATEWAY
from tests.chaos.streams import Way
from tests.system.clouds import connect, eventually, leading_out, outside_network

_GUESTS = {
    "one": "hv1", "two": "hv1", "far": "hv2", "next": "hv2",
    "shut": "hv1", "shutfar": "hv2", "alien": "hv2", "beside": "hv2",
}  # fmt: skip
"""`shut…` have a group without any ingress rule; `alien` is on a network of its own with the same addresses, `beside`
on one that the router leads to.
"""
_FORWARDED = 9900


class Scene(msgspec.Struct, frozen=True):
    """`gateways` are the hosts that lead the router out, by rank, and `led` is a guest who isn't on the first of them.
    By guest: its IPv6 address, its floating IP if any; `forwarding` is one whose UDP port `_FORWARDED` leads to `led`.
    """

    network_id: str
    outside_id: str
    guests: dict[str, Guest]
    led: str
    gateways: tuple[str, ...]
    internet: Guest
    addresses6: dict[str, str]
    floating: dict[str, str]
    forwarding: str


def build(lab: Lab) -> Scene:
    """Three networks, two of them on a router to outside; a guest's lease is its IPv4 address."""
    cloud = connect(lab).network
    networks = {name: cloud.create_network(name=name) for name in ("kept", "other", "beside")}
    outside = outside_network(lab)
    router = cloud.create_router(name="out", external_gateway_info={"network_id": outside.id})
    modes = {"ip_version": 6, "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
    for name, wanted in (
        ("kept", {"ip_version": 4, "cidr": "10.20.0.0/16"}),
        ("other", {"ip_version": 4, "cidr": "10.20.0.0/16"}),
        ("kept", {**modes, "cidr": "2001:db8:20::/64"}),
        ("beside", {**modes, "cidr": "2001:db8:30::/64"}),
    ):
        subnet = cloud.create_subnet(network_id=networks[name].id, **wanted)
        if name != "other":
            cloud.add_interface_to_router(router, subnet=subnet.id)
    groups = {name: cloud.create_security_group(name=name).id for name in ("shut", "open")}
    for family in ("IPv4", "IPv6"):
        rule = {"security_group_id": groups["open"], "direction": "ingress", "ethertype": family, "protocol": "udp"}
        cloud.create_security_group_rule(**rule)
    cloud.update_quota(connect(lab).current_project_id, security_groups=-1, ports=-1, security_group_rules=-1)
    guests, ports = {}, {}
    for name, host in _GUESTS.items():
        on, group = name if name == "beside" else "kept", "shut" if name.startswith("shut") else "open"
        on = "other" if name == "alien" else on
        wanted = {"network_id": networks[on].id, "name": name, "binding_host_id": host}
        ports[name] = port = cloud.create_port(**wanted, security_group_ids=[groups[group]])
        guests[name] = lab.guests.add(name, host, port.id, port.mac_address)
        if on != "beside":
            guests[name] = lab.guests.lease(guests[name])
    addresses6 = {name: _formed(lab, guests[name], port) for name, port in ports.items() if name != "alien"}
    floating = {}
    for name in ("two", "shutfar"):
        made = cloud.create_ip(floating_network_id=outside.id, port_id=ports[name].id)
        floating[name] = made.floating_ip_address
    gateways = tuple(each.name for each in leading_out(lab, router))
    led = next(name for name in ("one", "far") if guests[name].host != gateways[0])
    forwarding = cloud.create_ip(floating_network_id=outside.id)
    inner = {"internal_port_id": ports[led].id, "internal_ip_address": _addresses(ports[led], 4)[0]}
    l4_ports = {"protocol": "udp", "internal_port": _FORWARDED, "external_port": _FORWARDED}
    cloud.create_floating_ip_port_forwarding(forwarding.id, **inner, **l4_ports)
    internet = Guest("internet", "", "", "", lab.layout.internet, lease={"ip": PUBLIC_GATEWAY})
    ids = networks["kept"].id, outside.id
    return Scene(*ids, guests, led, gateways, internet, addresses6, floating, forwarding.floating_ip_address)


def all_ways(scene: Scene, pps: float) -> list[Way]:
    """`pps` on each of four, less on the others."""
    guests, gateways, few = scene.guests, frozenset(scene.gateways), pps / 4
    one, two, far, near_far, alien = (guests[name] for name in ("one", "two", "far", "next", "alien"))
    shut, shut_far, beside = (guests[name] for name in ("shut", "shutfar", "beside"))
    led = guests[scene.led]
    six, floating, outside = scene.addresses6, scene.floating, scene.internet
    return [
        Way("outside by a gateway host", led, outside, few, through=gateways),
        # Each guest sends one of them: a guest's interface holds some 270 packets while the switch waits for its turn.
        Way("on one host", one, two, pps),
        Way("on the other", far, near_far, pps),
        Way("tunnel", two, far, pps),
        Way("tunnel back", near_far, one, pps),
        Way("IPv6 on one host", shut, one, few, to=six["one"]),
        Way("IPv6 by tunnel", shut_far, two, few, to=six["two"]),
        Way("IPv6 by a router", beside, one, few, to=six["one"]),
        Way("floating IP from outside", outside, two, few, to=floating["two"]),
        Way("floating IP from floating IP", shut_far, two, few, to=floating["two"]),
        Way("port forwarding", outside, led, few, through=gateways, to=scene.forwarding, l4_port=_FORWARDED),
        Way("forbidden by a group", two, shut, pps / 20, allowed=False),
        Way("forbidden by a group by tunnel", one, shut_far, pps / 20, allowed=False),
        Way("forbidden by a group, IPv6", far, shut, pps / 20, allowed=False, to=six["shut"]),
        Way("forbidden between networks", one, alien, pps / 20, allowed=False),
    ]


def _addresses(port: Any, version: int) -> list[str]:
    return [each["ip_address"] for each in port.fixed_ips if (":" in each["ip_address"]) == (version == 6)]


def _formed(lab: Lab, guest: Guest, port: Any) -> str:
    """The port's IPv6 address, once its guest has made it of what the router advertises, and uses it."""
    (address,) = _addresses(port, 6)

    def used() -> bool:
        shown = json.loads(lab.guests.run(guest, ["ip", "-6", "-j", "address", "show", "dev", "eth0"]))
        found = [each for device in shown for each in device.get("addr_info", ()) if each.get("local") == address]
        return bool(found) and not found[0].get("tentative")

    eventually(used)
    return address
