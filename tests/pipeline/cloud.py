"""A small cloud, one line a thing, and what each of its hosts is told of it.

host h1 vtep=172.16.0.1 tunnel=100 ext=101           tunnels leave by OpenFlow port 100, physnet ext by 101
station internet MAC IP physnet=ext vlan=300         a machine on a provider network, not ours
network blue vxlan 100          network public vlan 300 physnet=ext external=yes
subnet blue4 blue 10.0.0.0/24 gateway=10.0.0.1
group web ingress:tcp/80-81 ingress:icmp@10.0.0.0/8 ingress:any@web egress:any stateful=no
port vm1 h1 blue MAC IP ofport=1 groups=web,ssh qos=slow security=no up=no pairs=MAC@CIDR
router r1 blue4=IP@MAC red4=IP@MAC gateway=public@IP@MAC@NEXTHOP
floating f1 public ADDRESS MAC port=vm1 router=r1
qos slow limit:egress:10000 packets:ingress:5/2 dscp:-:26 block:egress:tcp/25
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import TypeVar

import msgspec

from suimon.model import view

PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17}

Thing = TypeVar("Thing", bound=view.Object)
Options = dict[str, str]


class Host(msgspec.Struct, frozen=True):
    name: str
    vtep: str | None
    tunnel: int | None
    physnets: dict[str, int]


class Station(msgspec.Struct, frozen=True):
    name: str
    physnet: str
    vlan: int | None
    mac: str
    ip: str


class Cloud:
    """The whole truth; `told` cuts it for one host, as the controller does."""

    def __init__(self) -> None:
        self.hosts: dict[str, Host] = {}
        self.stations: dict[str, Station] = {}
        self.objects: dict[view.Key, view.Object] = {}
        self.ofports: dict[str, int] = {}

    def read(self, line: str) -> None:
        """Take in one line of the language above; a thing that is there already is replaced."""
        kind, name, *words = line.split()
        options = dict(word.split("=", 1) for word in words if "=" in word)
        _READERS[kind](self, name, [word for word in words if "=" not in word], options)

    def delete(self, kind: str, name: str) -> None:
        del self.objects["floating_ip" if kind == "floating" else kind, name]

    def all(self, kind: type[Thing]) -> Iterator[Thing]:
        return (thing for thing in self.objects.values() if isinstance(thing, kind))

    def put(self, thing: view.Object) -> None:
        self.objects[view.key(thing)] = thing

    def port(self, name: str) -> view.Port:
        return next(port for port in self.all(view.Port) if port.id == name)

    def network(self, name: str) -> view.Network:
        return next(network for network in self.all(view.Network) if network.id == name)

    def told(self, host: str) -> dict[view.Key, view.Object]:
        """Its ports, the networks it can reach from them, who else is there, and the rules that bind them."""
        mine = [port for port in self.all(view.Port) if port.host == host]
        networks = self._reach({port.network_id for port in mine})
        groups = {group for port in mine for group in port.groups}
        remote = {
            rule.remote_group
            for group in self.all(view.SecurityGroup)
            if group.id in groups
            for rule in group.rules
            if rule.remote_group
        }
        policies = {port.qos_id for port in mine}
        told: list[view.Object] = [*mine]
        told += (network for network in self.all(view.Network) if network.id in networks)
        told += (subnet for subnet in self.all(view.Subnet) if subnet.network_id in networks)
        told += (router for router in self.all(view.Router) if _legs(router) & networks)
        told += (self._peer(port) for port in self.all(view.Port) if port.network_id in networks)
        told += (group for group in self.all(view.SecurityGroup) if group.id in groups)
        told += (
            view.Member(group, port.id, tuple(fixed.ip for fixed in port.fixed_ips))
            for port in self.all(view.Port)
            for group in port.groups
            if group in remote
        )
        told += (policy for policy in self.all(view.QosPolicy) if policy.id in policies)
        told += (floating for floating in self.all(view.FloatingIp) if floating.host == host)
        return {view.key(thing): thing for thing in told}

    def _reach(self, networks: set[str]) -> set[str]:
        while True:
            further = {leg for router in self.all(view.Router) if _legs(router) & networks for leg in _legs(router)}
            if further <= networks:
                return networks
            networks = networks | further

    def _peer(self, port: view.Port) -> view.Peer:
        ips = tuple(fixed.ip for fixed in port.fixed_ips)
        macs = tuple(pair.mac for pair in port.pairs)
        return view.Peer(port.id, port.network_id, port.mac, ips, port.host, self.hosts[port.host].vtep, macs)


def _legs(router: view.Router) -> set[str]:
    legs = {interface.network_id for interface in router.interfaces}
    return legs | {router.gateway.network_id} if router.gateway else legs


def _host(cloud: Cloud, name: str, _: list[str], options: Options) -> None:
    vtep, tunnel = options.pop("vtep", None), options.pop("tunnel", None)
    physnets = {physnet: int(ofport) for physnet, ofport in options.items()}
    cloud.hosts[name] = Host(name, vtep, int(tunnel) if tunnel else None, physnets)


def _station(cloud: Cloud, name: str, words: list[str], options: Options) -> None:
    mac, ip = words
    vlan = options.get("vlan")
    cloud.stations[name] = Station(name, options["physnet"], int(vlan) if vlan else None, mac, ip)


def _network(cloud: Cloud, name: str, words: list[str], options: Options) -> None:
    kind, *segment = words
    number = int(segment[0]) if segment else None
    external, up = "external" in options, options.get("up") != "no"
    cloud.put(view.Network(name, kind, number, options.get("physnet"), 1450, external, up))  # type: ignore[arg-type]


def _subnet(cloud: Cloud, name: str, words: list[str], options: Options) -> None:
    network, cidr = words
    cloud.put(view.Subnet(name, network, cidr, options.get("gateway"), options.get("dhcp") != "no"))


def _group(cloud: Cloud, name: str, words: list[str], options: Options) -> None:
    rules = tuple(_rule(f"{name}-{n}", word) for n, word in enumerate(words))
    cloud.put(view.SecurityGroup(name, rules, options.get("stateful") != "no"))


def _rule(name: str, word: str) -> view.SecurityGroupRule:
    direction, _, rest = word.partition(":")
    protocol, first, last, remote = _service(rest)
    prefix = remote if remote and remote[0].isdigit() else None
    group = remote if remote and not prefix else None
    return view.SecurityGroupRule(name, direction, "IPv4", protocol, first, last, prefix, group)  # type: ignore[arg-type]


def _service(word: str) -> tuple[int | None, int | None, int | None, str | None]:
    """`tcp/80-81@10.0.0.0/8` → protocol, first and last port, remote; `any` is every protocol."""
    service, _, remote = word.partition("@")
    protocol, _, ports = service.partition("/")
    first, _, last = ports.partition("-")
    return PROTOCOLS.get(protocol), int(first) if first else None, int(last or first) if first else None, remote or None


def _port(cloud: Cloud, name: str, words: list[str], options: Options) -> None:
    host, network, mac, *ips = words
    if "ofport" in options:
        cloud.ofports[name] = int(options["ofport"])
    port = view.Port(
        name,
        host,
        network,
        mac,
        tuple(view.FixedIp(_subnet_of(cloud, network, ip), ip) for ip in ips),
        up=options.get("up") != "no",
        security=options.get("security") != "no",
        groups=tuple(filter(None, options.get("groups", "").split(","))),
        pairs=tuple(view.AddressPair(*pair.split("@")) for pair in filter(None, options.get("pairs", "").split(","))),
        qos_id=options.get("qos"),
    )
    cloud.put(port)


def _subnet_of(cloud: Cloud, network: str, ip: str) -> str:
    subnets = (subnet for subnet in cloud.all(view.Subnet) if subnet.network_id == network)
    return next(subnet.id for subnet in subnets if IPv4Address(ip) in IPv4Network(subnet.cidr))


def _router(cloud: Cloud, name: str, _: list[str], options: Options) -> None:
    gateway = None
    if "gateway" in options:
        network, ip, mac, nexthop = options.pop("gateway").split("@")
        gateway = view.Gateway(network, ip, mac, nexthop)
    routes = tuple(view.Route(*route.split("@")) for route in filter(None, options.pop("routes", "").split(",")))
    subnets = {subnet.id: subnet for subnet in cloud.all(view.Subnet)}
    interfaces = []
    for subnet_id, leg in options.items():
        ip, mac = leg.split("@")
        subnet = subnets[subnet_id]
        port_id = f"{name}-{subnet_id}"
        interfaces.append(view.RouterInterface(port_id, subnet.network_id, subnet_id, subnet.cidr, ip, mac))
    cloud.put(view.Router(name, up=True, interfaces=tuple(interfaces), gateway=gateway, routes=routes))


def _floating(cloud: Cloud, name: str, words: list[str], options: Options) -> None:
    network, address, mac = words
    port = cloud.port(options["port"])
    fixed = port.fixed_ips[0].ip
    cloud.put(view.FloatingIp(name, port.host, network, address, mac, port.id, fixed, options["router"]))


def _qos(cloud: Cloud, name: str, words: list[str], _: Options) -> None:
    limits, blocks, packets, dscp = [], [], [], None
    for word in words:
        kind, direction, rest = word.split(":")
        if kind == "limit":
            rate, _, burst = rest.partition("/")
            limits.append(view.BandwidthLimit(direction, int(rate), int(burst or 0)))  # type: ignore[arg-type]
        elif kind == "packets":
            rate, _, burst = rest.partition("/")
            packets.append(view.PacketLimit(direction, int(rate), int(burst or 0)))  # type: ignore[arg-type]
        elif kind == "dscp":
            dscp = int(rest)
        else:
            protocol, first, last, remote = _service(rest)
            assert protocol and first and last
            blocks.append(view.PortBlock(f"{name}-{len(blocks)}", direction, protocol, first, last, remote))  # type: ignore[arg-type]
    cloud.put(view.QosPolicy(name, tuple(limits), tuple(blocks), tuple(packets), dscp))


_READERS: dict[str, Callable[[Cloud, str, list[str], Options], None]] = {
    "host": _host,
    "station": _station,
    "network": _network,
    "subnet": _subnet,
    "group": _group,
    "port": _port,
    "router": _router,
    "floating": _floating,
    "qos": _qos,
}
