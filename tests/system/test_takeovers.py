"""Promise: when a gateway host dies, or is drained, only what has its router's own address breaks: of fifty connections
of each kind it is counted how many go on, and how the others end. IPv6 from and to the outside moves with the gateway.

Three hypervisors: one leads out and dies, another takes over, and none of the guests is on the first.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from suimon.agent.packets import Ethernet, PacketError
from suimon.agent.packets6 import ETH_IPV6, Icmp6
from suimon.lab.guests import Guest
from suimon.lab.lab import Lab
from suimon.lab.layout import PUBLIC_GATEWAY, Host
from tests.patience import patient, timed
from tests.system.clouds import connect, eventually, guest, leading_out, outside_network, two_hypervisors
from tests.system.namespaces import inside
from tests.system.open_connections import Fate, Open, Tries, Way, opened, trying

A_KIND = 50
OUTSIDE6, OUTSIDE6_NET = "2001:db8:0:f::1", "2001:db8:0:f::/64"
IPV6 = {"ip_version": 6, "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
NETWORKS = {"inside": "10.21.0.0/24", "beside": "10.22.0.0/24", "plain": "10.23.0.0/24", "proxied": "10.24.0.0/24"}
BEHIND = {"inside": "2001:db8:0:9::/64", "proxied": "2001:db8:0:a::/64"}
MOST_GAP_S = 5.0
"""As in test_gateways: a second or two of unanswered questions, and what a busy machine adds."""
REPLACED = "SNAT, TCP, with another L4 port"
"""Of two guests who use the same L4 port one leaves with another."""
GOES_ON: tuple[Fate, Fate, Fate] = ("goes on", "goes on", "goes on")
TRANSLATED: dict[str, tuple[Fate, Fate, Fate]] = {
    "SNAT, TCP": ("goes on", "hangs", "goes on"),
    "SNAT, UDP": ("goes on", "hangs", "goes on"),
    "port forwarding": ("goes on", "reset", "reset"),
}
"""What has the router's own address, or one that is forwarded: its state is in the namespace of one host. What whoever
opened it learns that speaks first, the other that does, and whoever opened it when the other has spoken in vain. So
says docs/guide/routers.md.
"""
Fates = Mapping[str, tuple[Counter[Fate], ...]]
_NEW = 100
"""What is added to the L4 ports of new connections: those that are open have the others."""
_ALL, _IPV4, _IPV6, _ADVERTISEMENT = 0x0003, 0x0800, 0x86DD, 136


class Scene(msgspec.Struct, frozen=True):
    lab: Lab
    api: Any
    first: Host
    """It leads all routers out."""
    router: Any
    proxy: Any
    guests: dict[str, Guest]
    ways: dict[str, Way]

    @property
    def new(self) -> dict[str, Way]:
        """The same ways for others than those who are there."""
        return {
            name: msgspec.structs.replace(
                way, l4_port=way.l4_port + _NEW, listens_at=way.listens_at and way.listens_at + _NEW
            )
            for name, way in self.ways.items()
            if name != REPLACED
        }

    def six(self, name: str) -> str:
        """The IPv6 address that a guest's kernel made of our advertisements."""
        said = _run(self.guests[name].namespace, "ip", "-6", "-o", "addr", "show", "dev", "eth0", "scope", "global")
        found = [line.split()[3].partition("/")[0] for line in said.splitlines() if "tentative" not in line]
        return found[0] if found else ""

    def outer6(self, router: Any) -> str:
        """The router's own IPv6 address on the outside."""
        own = [str(each["ip_address"]) for each in router.external_gateway_info["external_fixed_ips"]]
        return next(each for each in own if ":" in each)

    def gateway_mac(self, router: Any) -> str:
        (port,) = self.api.ports(device_id=router.id, device_owner="network:router_gateway")
        return str(port.mac_address)

    def neighbour(self, address: str) -> str:
        """Whose MAC the internet host has for an address; "" if none."""
        words = _run(self.lab.layout.internet, "ip", "-6", "neigh", "show", address, "dev", "flat").split()
        return words[words.index("lladdr") + 1] if "lladdr" in words else ""

    def proxied(self) -> str:
        """The address that the internet host may ask for, from now on if not before."""
        made = next(iter(self.api.ndp_proxies()), None) or self.api.create_ndp_proxy(
            router_id=self.proxy.id, port_id=self.guests["proxied"].port_id
        )
        return str(made.ip_address)

    def forget_neighbours(self) -> None:
        _run(self.lab.layout.internet, "ip", "-6", "neigh", "flush", "dev", "flat")


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with two_hypervisors("tk", hosts=3) as lab:
        api = connect(lab).network
        outside = outside_network(lab)
        scope = api.create_address_scope(name="six", ip_version=6, shared=True)
        pool = api.create_subnet_pool(
            name="six", prefixes=["2001:db8::/48"], default_prefix_length=64, address_scope_id=scope.id
        )
        six = {"ip_version": 6, "subnetpool_id": pool.id}
        api.create_subnet(network_id=outside.id, cidr=OUTSIDE6_NET, gateway_ip=OUTSIDE6, enable_dhcp=False, **six)
        _speak_ipv6(lab)
        router = api.create_router(name="way-out", external_gateway_info={"network_id": outside.id})
        first = leading_out(lab, router)[0]
        proxy = _led_by(lab, first, {"network_id": outside.id}, enable_ndp_proxy=True)
        bare = _led_by(lab, first, {"network_id": outside.id, "enable_snat": False})
        nets = {name: api.create_network(name=name) for name in NETWORKS}
        for (name, net), led in zip(nets.items(), (router, router, bare, proxy), strict=True):
            four = api.create_subnet(network_id=net.id, ip_version=4, cidr=NETWORKS[name])
            api.add_interface_to_router(led, subnet=four.id)
            if name in BEHIND:
                subnet = api.create_subnet(network_id=net.id, cidr=BEHIND[name], **{**six, **IPV6})
                api.add_interface_to_router(led, subnet=subnet.id)
        _let_in(api)
        near, far = (host.name for host in lab.layout.hosts if host.name != first.name)
        places = {
            "client": ("inside", near),
            "twin": ("inside", near),
            "floating": ("inside", far),
            "beside": ("beside", far),
            "plain": ("plain", near),
            "proxied": ("proxied", far),
        }
        guests = {name: guest(lab, nets[net].id, name, host) for name, (net, host) in places.items()}
        router, proxy, bare = (api.get_router(each.id) for each in (router, proxy, bare))
        made = Scene(lab, api, first, router, proxy, guests, {})
        eventually(lambda: all(map(made.six, ("client", "proxied"))), 40)
        made.ways.update(_ways(made, outside))
        via4 = bare.external_gateway_info["external_fixed_ips"][0]["ip_address"]
        _run(lab.layout.internet, "ip", "route", "add", NETWORKS["plain"], "via", via4)
        _run(lab.layout.internet, "ip", "-6", "route", "add", BEHIND["inside"], "via", made.outer6(router))
        _run(lab.layout.internet, "ip", "-6", "route", "add", BEHIND["proxied"], "dev", "flat")
        eventually(lambda: all(_pings(each.namespace, PUBLIC_GATEWAY) for each in guests.values()), 40)
        yield made


def test_ipv6_leaves_and_comes_in_and_neighbours_find_each_other(scene: Scene) -> None:
    """The router asks for its next hop, and whoever is outside for the router."""
    client, internet = scene.guests["client"].namespace, scene.lab.layout.internet
    assert _pings(client, OUTSIDE6)
    scene.forget_neighbours()
    assert _pings(internet, scene.six("client"))
    assert scene.neighbour(scene.outer6(scene.router)) == scene.gateway_mac(scene.router)
    for way in (Way(client, internet, OUTSIDE6, 8200), Way(internet, client, scene.six("client"), 8201)):
        with opened({"both ways": way}, 1, with_ports_of={}) as one:
            assert one["both ways"].fates([0], opener_first=True) == ["goes on"]
            assert one["both ways"].fates([0], opener_first=False) == ["goes on"]
            seen = {scene.six("client"), OUTSIDE6}
            assert {one["both ways"].seen_as[0][0], way.address} == seen, "with its own address"


def test_a_router_proxies_for_single_addresses(scene: Scene) -> None:
    """The internet host takes their network for one on its own link."""
    internet, address = scene.lab.layout.internet, scene.six("proxied")
    for made in scene.api.ndp_proxies():
        scene.api.delete_ndp_proxy(made)
    eventually(lambda: not _pings(internet, address))
    assert scene.proxied() == address
    scene.forget_neighbours()
    eventually(lambda: _pings(internet, address))
    assert scene.neighbour(address) == scene.gateway_mac(scene.proxy)
    assert _pings(scene.guests["proxied"].namespace, OUTSIDE6)


@timed
def test_a_host_is_drained_and_only_what_has_the_router_s_address_breaks(scene: Scene) -> None:
    with (
        opened(scene.ways, A_KIND, with_ports_of={REPLACED: "SNAT, TCP"}) as before,
        trying(scene.new) as tries,
    ):
        began = time.monotonic()
        _host(scene, "drain", scene.first.name)
        drained_s = time.monotonic() - began
        try:
            fates, met = _fates(scene, before)
            _tell(f"drained in {drained_s:.2f} s", fates, tries, began)
        finally:
            _host(scene, "drain", scene.first.name, "--undo")
    _hold(fates, met)
    assert all((gap := each.first_after(began)) is not None and gap < MOST_GAP_S for each in tries.values())


@timed
def test_a_host_dies_and_only_what_has_the_router_s_address_breaks(scene: Scene) -> None:
    moving = {
        scene.outer6(scene.router): scene.gateway_mac(scene.router),
        scene.outer6(scene.proxy): scene.gateway_mac(scene.proxy),
        scene.proxied(): scene.gateway_mac(scene.proxy),
    }
    eventually(lambda: _pings(scene.lab.layout.internet, scene.proxied()))
    with (
        opened(scene.ways, A_KIND, with_ports_of={REPLACED: "SNAT, TCP"}) as before,
        trying(scene.new) as tries,
        _listening(scene, _IPV6) as heard,
    ):
        scene.lab.cloud.kill_agent(scene.first)
        scene.lab.kill_vswitchd(scene.first)
        died = time.monotonic()
        eventually(lambda: all(each.first_after(died) is not None for each in tries.values()))
        fates, met = _fates(scene, before)
        _tell("killed", fates, tries, died)
        assert _announced(heard, moving.keys()) == moving
    _hold(fates, met)
    assert all((gap := each.first_after(died)) is not None and gap < MOST_GAP_S for each in tries.values())
    internet = scene.lab.layout.internet
    scene.forget_neighbours()
    assert all(_pings(internet, scene.six(name)) for name in ("client", "proxied"))
    assert all(_pings(scene.guests[name].namespace, OUTSIDE6) for name in ("client", "proxied"))


def _ways(scene: Scene, outside: Any) -> dict[str, Way]:
    space = {name: each.namespace for name, each in scene.guests.items()}
    internet, api = scene.lab.layout.internet, scene.api
    floating = api.create_ip(floating_network_id=outside.id, port_id=scene.guests["floating"].port_id)
    forwarding = api.create_ip(floating_network_id=outside.id)
    to = {"internal_port_id": scene.guests["client"].port_id, "internal_ip_address": _ip(scene.guests["client"])}
    for number in (0, _NEW):
        ways = {"external_port": 8005 + number, "internal_port": 9005 + number, "protocol": "tcp"}
        api.create_floating_ip_port_forwarding(forwarding.id, **ways, **to)
    client, udp = space["client"], socket.SOCK_DGRAM
    return {
        "SNAT, TCP": Way(client, internet, PUBLIC_GATEWAY, 8001),
        REPLACED: Way(space["twin"], internet, PUBLIC_GATEWAY, 8001),
        "SNAT, UDP": Way(client, internet, PUBLIC_GATEWAY, 8003, udp),
        "port forwarding": Way(internet, client, str(forwarding.floating_ip_address), 8005, listens_at=9005),
        "floating IP": Way(internet, space["floating"], str(floating.floating_ip_address), 8006),
        "without NAT": Way(space["plain"], internet, PUBLIC_GATEWAY, 8007),
        "without NAT, to the guest": Way(internet, space["plain"], _ip(scene.guests["plain"]), 8008),
        "between networks": Way(client, space["beside"], _ip(scene.guests["beside"]), 8009),
        "IPv6": Way(client, internet, OUTSIDE6, 8010),
        "IPv6, to the guest": Way(internet, client, scene.six("client"), 8011),
    }


def _fates(scene: Scene, before: Mapping[str, Open]) -> tuple[Fates, int]:
    """By kind: of half of them the opener speaks first, of half the other, and then the opener of these. And of those
    with another L4 port how many met others at theirs.
    """
    half, rest = range(A_KIND // 2), range(A_KIND // 2, A_KIND)

    def of(name: str) -> tuple[Counter[Fate], ...]:
        turns = ((half, True), (rest, False), (rest, True))
        return tuple(Counter(before[name].fates(each, opener_first=opener)) for each, opener in turns)

    # Who has its own L4 port outside speaks before who can't have it.
    others = [name for name in before if name != REPLACED]
    with ThreadPoolExecutor(len(others)) as pool:
        fates = dict(zip(others, pool.map(of, others), strict=True))
    with _listening(scene, _IPV4) as heard:
        fates[REPLACED] = of(REPLACED)
        met = _from_ports(heard, before[REPLACED].way) & {l4_port for _, l4_port in before[REPLACED].seen_as}
    return fates, len(met)


def _hold(fates: Fates, met: int) -> None:
    for name in fates.keys() - {REPLACED}:
        expected = TRANSLATED.get(name, GOES_ON)
        assert [dict(each) for each in fates[name]] == [{fate: A_KIND // 2} for fate in expected], name
    # A new namespace draws L4 ports by chance. At one that another connection has outside it is that one's socket which
    # answers, and not with a reset (RFC 9293, 3.10.7.4).
    opener, other, late = fates[REPLACED]
    assert other == {"hangs": A_KIND // 2}
    assert opener + late == Counter({"reset": A_KIND - met, "hangs": met})


def _tell(what: str, fates: Fates, tries: Mapping[str, Tries], since: float) -> None:
    print(f"\n{what}")
    for name, found in fates.items():
        told = "; ".join(
            f"{who}: {dict(each)}" for who, each in zip(("opener", "other", "then opener"), found, strict=True)
        )
        new = tries.get(name)
        after = f"a new one after {new.first_after(since):.2f} s, {new.failed_after(since)} failed" if new else ""
        print(f"{name}: {told}; {after}")


@contextlib.contextmanager
def _listening(scene: Scene, eth_type: int) -> Iterator[socket.socket]:
    """What comes to the internet host."""
    raw = socket.htons(_ALL)
    heard = inside(scene.lab.layout.internet, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, raw))
    with heard:
        heard.bind(("flat", eth_type))
        heard.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE: all of it waits there (socket(7)).
        heard.settimeout(0.2)
        yield heard


def _announced(heard: socket.socket, addresses: Set[str]) -> dict[str, str]:
    """Of these, whose MAC unsolicited advertisements to all nodes said that they have."""
    told: dict[str, str] = {}
    deadline = time.monotonic() + patient(10)
    while told.keys() != addresses and time.monotonic() < deadline:
        try:
            frame = Ethernet.parse(heard.recv(2048))
            message = Icmp6.parse(frame.payload) if frame.eth_type == ETH_IPV6 else None
        except (PacketError, TimeoutError):
            continue
        if message and message.type == _ADVERTISEMENT and message.dst == "ff02::1":
            target = socket.inet_ntop(socket.AF_INET6, message.body[4:20])
            assert message.body[0] & 0x60 == 0x20, "it overrides, and nobody asked"
            if target in addresses:
                told[target] = message.body[22:28].hex(":")
    return told


def _from_ports(heard: socket.socket, way: Way) -> set[int]:
    """From which L4 ports TCP came to where the way leads."""
    found = set()
    heard.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            frame = heard.recv(2048)
            protocol, target, (source_port, l4_port) = frame[23], frame[30:34], struct.unpack_from("!HH", frame, 34)
            if (protocol, target, l4_port) == (socket.IPPROTO_TCP, socket.inet_aton(way.address), way.l4_port):
                found.add(source_port)
    return found


def _led_by(lab: Lab, host: Host, gateway: dict[str, Any], **more: Any) -> Any:
    """A router that this host leads out; which do, follows from their ids."""
    api = connect(lab).network
    while True:
        made = api.create_router(external_gateway_info=gateway, **more)
        if leading_out(lab, made)[0] == host:
            return made
        api.delete_router(made)


def _speak_ipv6(lab: Lab) -> None:
    internet = lab.layout.internet
    _run(internet, "sysctl", "-qw", "net.ipv6.conf.flat.disable_ipv6=0")
    _run(internet, "ip", "-6", "addr", "add", f"{OUTSIDE6}/64", "dev", "flat", "nodad")


def _let_in(api: Any) -> None:
    group = next(each for each in api.security_groups() if each.name == "default")
    for family in ("IPv4", "IPv6"):
        for protocol in ("tcp", "udp", "icmp" if family == "IPv4" else "ipv6-icmp"):
            rule = {"direction": "ingress", "protocol": protocol, "ethertype": family}
            api.create_security_group_rule(security_group_id=group.id, **rule)


def _host(scene: Scene, *args: str) -> None:
    state = str(scene.lab.layout.clouds_yaml.parent)
    command = [str(Path(sys.executable).with_name("suimon")), "host", *args, "--state", state]
    subprocess.run(command, check=True, timeout=patient(60))


def _pings(namespace: str, address: str) -> bool:
    command = ["ip", "netns", "exec", namespace, "ping", "-c1", "-W1", address]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _run(namespace: str, *command: str) -> str:
    inside_it = ["ip", "netns", "exec", namespace, *command]
    return subprocess.run(inside_it, stdout=subprocess.PIPE, text=True, check=True, timeout=patient(30)).stdout


def _ip(one: Guest) -> str:
    return one.lease["ip"].partition("/")[0]
