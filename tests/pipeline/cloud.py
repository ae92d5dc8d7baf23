"""A small cloud, one line a thing, and what each of its hosts is told of it.

host h1 vtep=172.16.0.1 tunnel=100 ext=101           tunnels leave by OpenFlow port 100, physnet ext by 101
host h1 vtep=172.16.0.1 gre=102 geneve=103           tunnel= is that of vxlan networks
station internet MAC IP physnet=ext vlan=300         a machine on a provider network, not ours
network blue vxlan 100 mtu=1450  network public vlan 300 physnet=ext external=yes
subnet blue4 blue 10.0.0.0/24 gateway=10.0.0.1
subnet blue6 blue 2001:db8::/64 ra=slaac mode=slaac  its router is advertised, and where addresses come from
group web ingress6:icmp6/128-0 egress6:any           the same for IPv6
group web ingress:tcp/80-81 ingress:icmp@10.0.0.0/8 ingress:any@web egress:any stateful=no
port sub1 h1 red MAC IP parent=vm1 vlan=20           a trunk's subport: plugged where vm1 is
port vm1 h1 blue MAC IP ofport=1 groups=web,ssh qos=slow security=no up=no pairs=MAC@CIDR
  … local=LOCAL@IP,LOCAL@IP@passthrough              local IPs that mean its address
  … holds=MAC@IP                                     the virtual address that it claimed last
router r1 blue4=IP@MAC red4=IP@MAC gateway=public@IP@MAC@NEXTHOP
  … snat=no plain=CIDR,CIDR forward=ADDRESS:tcp:80-89:10.0.0.11:8080-8089,…
  … qos=slow limited=ADDRESS@slow,…                  policies of the gateway, and of what is forwarded
  … proxied=IP,IP                                    an NDP proxy, for these
floating f1 public ADDRESS MAC port=vm1 router=r1 qos=slow fixed=IP  (by default the first of the port's)
gateways ext h1,h2 silent=h2                         the hosts that lead routers out to physnet ext
port vm1 h1 blue MAC IP ofport=1 besides=h2          also bound to h2, where it isn't active (yet, or any more)
qos slow limit:egress:10000 packets:ingress:5/2 dscp:-:26 block:egress:tcp/25
restrict r1 port vm1 port_block:egress:tcp/25 ends=SECONDS reason=WORD   (port: project= cloud=yes)
restrict r1 project red rate_limit:both:5000 · restrict r1 address 10.0.0.11 packet_rate_limit:ingress:5 project=red
restrict r1 network blue quarantine allowed=CIDR,CIDR · restrict r1 outside_address 198.51.100.9 port_block
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network
from typing import TypeVar

import msgspec

from suimon.model import view
from suimon.model.gateways import candidates, ranked

PROTOCOLS = {"icmp": 1, "icmp6": 58, "tcp": 6, "udp": 17, "sctp": 132}

Thing = TypeVar("Thing", bound=view.Object)
Options = dict[str, str]


class Host(msgspec.Struct, frozen=True):
    name: str
    vtep: str | None
    tunnels: dict[str, int]
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
        self.besides: dict[str, str] = {}
        """By port, the host where it is bound to as well."""

    def read(self, line: str) -> None:
        """Take in one line of the language above; a thing that is there already is replaced."""
        kind, name, *words = line.split()
        options = dict(word.split("=", 1) for word in words if "=" in word)
        _READERS[kind](self, name, [word for word in words if "=" not in word], options)

    def delete(self, kind: str, name: str) -> None:
        del self.objects[{"floating": "floating_ip", "restrict": "restriction"}.get(kind, kind), name]

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
        mine = [self.bound(port, host) for port in self.all(view.Port) if host in self.hosts_of(port)]
        networks = self._reach({port.network_id for port in mine})
        groups = {group for port in mine for group in port.groups}
        remote = {
            rule.remote_group
            for group in self.all(view.SecurityGroup)
            if group.id in groups
            for rule in group.rules
            if rule.remote_group
        }
        duties = self._duties(host)
        policies = {port.qos_id for port in mine}
        floating_ips = [self._floating(floating, host) for floating in self.all(view.FloatingIp)]
        policies |= {floating.qos_id for floating in floating_ips if floating.host == host}
        policies |= {router.gateway.qos_id for router in duties if router.gateway}
        policies |= {policy for router in duties for _, policy in router.limited}
        networks |= {leg for router in duties for leg in _legs(router)}
        told: list[view.Object] = [*mine, *self.all(view.Gateways)]
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
        told += (floating for floating in floating_ips if floating.host == host)
        told += self._restrictions(host, mine)
        return {view.key(thing): thing for thing in told}

    def _restrictions(self, host: str, mine: list[view.Port]) -> Iterator[view.Restriction]:
        ports, projects = {port.id for port in mine}, {port.project_id for port in mine}
        for one in self.all(view.Restriction):
            if one.target_kind == "port" and one.target in ports:
                yield msgspec.structs.replace(one, host=host)
            elif one.target_kind in ("network", "outside_address") or one.project_id in projects - {""}:
                yield one

    def _floating(self, floating: view.FloatingIp, host: str) -> view.FloatingIp:
        """As that host is told of it, if the port behind it is bound there."""
        hosts = self.hosts_of(self.port(floating.port_id))
        told = host if host in hosts else hosts[0]
        return msgspec.structs.replace(floating, host=told, active=told == hosts[0])

    def hosts_of(self, port: view.Port) -> list[str]:
        """Where it is bound, the active host first."""
        return [port.host, *filter(None, [self.besides.get(port.parent or port.id)])]

    def bound(self, port: view.Port, host: str) -> view.Port:
        """As that host of it is told."""
        others = (vtep for each in self.hosts_of(port) if each != host and (vtep := self.hosts[each].vtep))
        return msgspec.structs.replace(port, host=host, active=host == port.host, others=tuple(others))

    def _reach(self, networks: set[str]) -> set[str]:
        while True:
            further = {leg for router in self.all(view.Router) if _legs(router) & networks for leg in _legs(router)}
            if further <= networks:
                return networks
            networks = networks | further

    def _duties(self, host: str) -> list[view.Router]:
        """The routers that the host leads out, or would."""
        duties = []
        for router in self.all(view.Router):
            physnet = self.network(router.gateway.network_id).physnet if router.gateway else None
            for gateways in self.all(view.Gateways):
                ranks = ranked(router.id, gateways.hosts) if gateways.id == physnet else ()
                duties += [router for each in ranks if each.host == host]
        return duties

    def _peer(self, port: view.Port) -> view.Peer:
        ips = tuple(fixed.ip for fixed in port.fixed_ips)
        macs = tuple(pair.mac for pair in port.pairs)
        vtep = self.hosts[port.host].vtep
        return view.Peer(port.id, port.network_id, port.mac, ips, port.host, vtep, macs, holds=port.holds)


def _legs(router: view.Router) -> set[str]:
    legs = {interface.network_id for interface in router.interfaces}
    return legs | {router.gateway.network_id} if router.gateway else legs


def _host(cloud: Cloud, name: str, _: list[str], options: Options) -> None:
    vtep, names = options.pop("vtep", None), {"vxlan": "tunnel", "gre": "gre", "geneve": "geneve"}
    tunnels = {kind: int(options.pop(option)) for kind, option in names.items() if option in options}
    physnets = {physnet: int(ofport) for physnet, ofport in options.items()}
    cloud.hosts[name] = Host(name, vtep, tunnels, physnets)


def _station(cloud: Cloud, name: str, words: list[str], options: Options) -> None:
    mac, ip = words
    vlan = options.get("vlan")
    cloud.stations[name] = Station(name, options["physnet"], int(vlan) if vlan else None, mac, ip)


def _network(cloud: Cloud, name: str, words: list[str], options: Options) -> None:
    kind, *segment = words
    number = int(segment[0]) if segment else None
    external, up = "external" in options, options.get("up") != "no"
    cloud.put(view.Network(name, kind, number, options.get("physnet"), int(options.get("mtu", 1450)), external, up))  # type: ignore[arg-type]


def _subnet(cloud: Cloud, name: str, words: list[str], options: Options) -> None:
    network, cidr = words
    subnet = view.Subnet(name, network, cidr, options.get("gateway"), options.get("dhcp") != "no")
    modes = {"ra_mode": options.get("ra"), "address_mode": options.get("mode")}
    cloud.put(msgspec.structs.replace(subnet, **modes))


def _group(cloud: Cloud, name: str, words: list[str], options: Options) -> None:
    rules = tuple(_rule(f"{name}-{n}", word) for n, word in enumerate(words))
    cloud.put(view.SecurityGroup(name, rules, options.get("stateful") != "no"))


def _rule(name: str, word: str) -> view.SecurityGroupRule:
    direction, _, rest = word.partition(":")
    protocol, first, last, remote = _service(rest)
    prefix = remote if remote and (remote[0].isdigit() or ":" in remote) else None
    group = remote if remote and not prefix else None
    family = "IPv6" if direction.endswith("6") else "IPv4"
    direction = direction.removesuffix("6")
    return view.SecurityGroupRule(name, direction, family, protocol, first, last, prefix, group)  # type: ignore[arg-type]


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
        pairs=_pairs(options, "pairs"),
        qos_id=options.get("qos"),
        parent=options.get("parent"),
        vlan=int(options["vlan"]) if "vlan" in options else None,
        local_ips=tuple(map(_local_ip, filter(None, options.get("local", "").split(",")))),
        holds=_pairs(options, "holds"),
        project_id=options.get("project", ""),
        infrastructure="cloud" in options,
    )
    cloud.put(port)
    cloud.besides.pop(name, None)
    if "besides" in options:
        cloud.besides[name] = options["besides"]


def _pairs(options: Options, name: str) -> tuple[view.AddressPair, ...]:
    return tuple(view.AddressPair(*pair.split("@")) for pair in filter(None, options.get(name, "").split(",")))


def _local_ip(text: str) -> view.LocalIp:
    address, ip, *mode = text.split("@")
    return view.LocalIp(address, ip, mode != ["passthrough"])


def _subnet_of(cloud: Cloud, network: str, ip: str) -> str:
    subnets = (subnet for subnet in cloud.all(view.Subnet) if subnet.network_id == network)
    return next(subnet.id for subnet in subnets if ip_address(ip) in ip_network(subnet.cidr))


def _router(cloud: Cloud, name: str, _: list[str], options: Options) -> None:
    gateway = None
    if "gateway" in options:
        network, ip, mac, nexthop = options.pop("gateway").split("@")
        snat, plain = options.pop("snat", "yes") == "yes", tuple(filter(None, options.pop("plain", "").split(",")))
        six = _outside6(options)
        gateway = view.Gateway(network, ip, mac, nexthop, snat, plain, *six, options.pop("qos", None))
    proxied = tuple(filter(None, options.pop("proxied").split(","))) if "proxied" in options else None
    limited = tuple(tuple(one.split("@")) for one in filter(None, options.pop("limited", "").split(",")))
    forwardings = tuple(map(_forwarding, filter(None, options.pop("forward", "").split(","))))
    routes = tuple(view.Route(*route.split("@")) for route in filter(None, options.pop("routes", "").split(",")))
    subnets = {subnet.id: subnet for subnet in cloud.all(view.Subnet)}
    interfaces = []
    for subnet_id, leg in options.items():
        ip, mac = leg.split("@")
        subnet = subnets[subnet_id]
        port_id = f"{name}-{subnet_id}"
        interfaces.append(view.RouterInterface(port_id, subnet.network_id, subnet_id, subnet.cidr, ip, mac))
    cloud.put(
        view.Router(
            name,
            up=True,
            interfaces=tuple(interfaces),
            gateway=gateway,
            routes=routes,
            forwardings=forwardings,
            limited=limited,  # type: ignore[arg-type]
            proxied=proxied,
        )
    )


def _forwarding(text: str) -> view.PortForwarding:
    address, protocol, outer, ip, inner = text.split(":")
    (first, _, last), (inner_first, _, inner_last) = outer.partition("-"), inner.partition("-")
    outwards = (int(first), int(last or first))
    inwards = (int(inner_first), int(inner_last or inner_first))
    return view.PortForwarding(address, PROTOCOLS[protocol], *outwards, ip, *inwards)


def _outside6(options: Options) -> tuple[str | None, str | None]:
    """`six=IP@NEXTHOP` → next hop and address."""
    ip, _, nexthop = options.pop("six", "@").partition("@")
    return nexthop or None, ip or None


def _gateways(cloud: Cloud, name: str, words: list[str], options: Options) -> None:
    hosts = [(host, cloud.hosts[host].vtep) for host in words[0].split(",")]
    cloud.put(view.Gateways(name, candidates(hosts, silent=options.pop("silent", "").split(","))))


def _floating(cloud: Cloud, name: str, words: list[str], options: Options) -> None:
    network, address, mac = words
    port = cloud.port(options["port"])
    fixed = options.get("fixed", port.fixed_ips[0].ip)
    router, policy = options["router"], options.get("qos")
    cloud.put(view.FloatingIp(name, port.host, network, address, mac, port.id, fixed, router, policy))


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


def _restrict(cloud: Cloud, name: str, words: list[str], options: Options) -> None:
    target_kind, target, what = words
    kind, direction, value, *_ = [*what.split(":"), "both", ""]
    rate = int(value) if value.isdigit() else 0
    protocol, first, last, _ = _service("" if rate else value)
    restriction = view.Restriction(
        id=name,
        kind=kind,  # type: ignore[arg-type]
        target_kind=target_kind,  # type: ignore[arg-type]
        target=target,
        project_id=target if target_kind == "project" else options.get("project", ""),
        direction=None if direction == "both" else direction,  # type: ignore[arg-type]
        rate_kbps=rate if kind == "rate_limit" else 0,
        rate_kpps=rate if kind == "packet_rate_limit" else 0,
        protocol=protocol or 0,
        port_min=first or 0,
        port_max=last or 0,
        allowed=tuple(filter(None, options.get("allowed", "").split(","))),
        reason=options.get("reason", ""),
        expires_s=float(options["ends"]) if "ends" in options else None,
    )
    cloud.put(restriction)


_READERS: dict[str, Callable[[Cloud, str, list[str], Options], None]] = {
    "host": _host,
    "station": _station,
    "network": _network,
    "subnet": _subnet,
    "group": _group,
    "port": _port,
    "router": _router,
    "gateways": _gateways,
    "floating": _floating,
    "qos": _qos,
    "restrict": _restrict,
}
