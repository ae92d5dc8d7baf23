"""HostView: what one host is told, as small objects keyed by (kind, id), and the frames that carry it.

The controller's `distribution` writes these, the agent keeps them, `pipeline` turns them into flows. An object belongs
to one *scope*: a host holds the scopes it needs (its own ports, their networks, routers, groups …) and is told of
changes in those only. Objects are frozen and compare by value; frames are newline-delimited JSON on the wire. `SCHEMA`
grows when objects tell more or mean something else: an agent states the one it speaks, which is never newer than its
controller's; it is told of no kind that came after it, and once whole when it speaks a newer one than before.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final, Literal

import msgspec

from suimon.model import restriction
from suimon.model.counts import Reading
from suimon.model.host_events import EventKind
from suimon.model.questions import CountDrops, Look, Question

SCHEMA: Final = 8

Key = tuple[str, str]
"""(kind, id) of an object of a view; kinds are the structs' tags."""
Direction = restriction.Direction
DIRECTIONS: Final = restriction.DIRECTIONS
EVERY_HOST: Final = restriction.EVERY_HOST
Restriction = restriction.Restriction
TUNNELS: Final = ("vxlan", "gre", "geneve")
"""The kinds of networks whose frames go from host to host in a tunnel; a number of one kind is none of another."""
Ipv6Mode = Literal["slaac", "dhcpv6-stateful", "dhcpv6-stateless"]


class FixedIp(msgspec.Struct, frozen=True):
    """An address of a port, and the subnet that it is from."""

    subnet_id: str
    ip: str


class AddressPair(msgspec.Struct, frozen=True):
    """Another (MAC, address or CIDR) that a guest may use besides its own."""

    mac: str
    cidr: str

    @property
    def single(self) -> str | None:
        """The address, if it is one."""
        address = self.cidr.removesuffix("/128" if ":" in self.cidr else "/32")
        return None if "/" in address else str(ip_address(address))


class DhcpOption(msgspec.Struct, frozen=True):
    """What DHCP tells one port besides: an option by its name or number, as dnsmasq(8) has them, and its value."""

    name: str
    value: str
    ip_version: int = 4


class Route(msgspec.Struct, frozen=True):
    """To reach `destination` (a CIDR), go by `nexthop` (an address)."""

    destination: str
    nexthop: str


class Network(msgspec.Struct, frozen=True, tag="network"):
    """`kind` says how it leaves a host: by a tunnel (segment = VNI or key), `vlan` (segment = VLAN id) or `flat` on
    `physnet`.
    """

    id: str
    kind: Literal["vxlan", "gre", "geneve", "vlan", "flat"]
    segment: int | None
    physnet: str | None
    mtu: int
    external: bool = False
    up: bool = True
    dns_domain: str = ""
    """The domain of its ports' names, with a dot at its end."""

    @property
    def tunnelled(self) -> bool:
        return self.kind in TUNNELS

    @property
    def scope(self) -> str:
        return f"network:{self.id}"


class Subnet(msgspec.Struct, frozen=True, tag="subnet"):
    """What DHCP tells the ports of a network; `dhcp` says whether it answers at all.

    The modes are Neutron's, for IPv6: `ra_mode` is what router advertisements of ours say (None: nothing),
    `address_mode` where guests get their addresses.
    """

    id: str
    network_id: str
    cidr: str
    gateway_ip: str | None
    dhcp: bool
    dns: tuple[str, ...] = ()
    routes: tuple[Route, ...] = ()
    ra_mode: Ipv6Mode | None = None
    address_mode: Ipv6Mode | None = None

    @property
    def scope(self) -> str:
        return f"network:{self.network_id}"


class LocalIp(msgspec.Struct, frozen=True):
    """An address that means, to guests on its host, the port with `fixed_ip`; untranslated, it has the address, too."""

    address: str
    fixed_ip: str
    translated: bool = True


class Port(msgspec.Struct, frozen=True, tag="port"):
    """A port bound to this host, whole. A trunk's subport is reached by the interface of `parent`, tagged `vlan`.

    While its guest migrates, a port is bound to further hosts, which are told of it in the same way: there it isn't
    `active`. The guest is about to come there, or it has just left.
    """

    id: str
    host: str
    network_id: str
    mac: str
    fixed_ips: tuple[FixedIp, ...]
    up: bool = True
    security: bool = True
    groups: tuple[str, ...] = ()
    pairs: tuple[AddressPair, ...] = ()
    qos_id: str | None = None
    name: str = ""
    dhcp_options: tuple[DhcpOption, ...] = ()
    dhcp6_options: tuple[DhcpOption, ...] = ()
    dns_name: str = ""
    device_id: str = ""
    project_id: str = ""
    parent: str | None = None
    vlan: int | None = None
    local_ips: tuple[LocalIp, ...] = ()
    active: bool = True
    others: tuple[str, ...] = ()
    """Tunnel addresses: to the active host, those of all others; to the others, that of the active one."""
    holds: tuple[AddressPair, ...] = ()
    """Virtual addresses that its guest claimed last, each by one of `pairs`: a single address, with the MAC."""
    infrastructure: bool = False
    """It is the cloud's own: no restriction of its project or network is about it."""

    @property
    def scope(self) -> str:
        return f"host:{self.host}"

    @property
    def claimable(self) -> tuple[AddressPair, ...]:
        """What its guest may claim and doesn't hold, each a single address that isn't its own."""
        if not self.pairs:
            return ()
        own = {fixed.ip for fixed in self.fixed_ips}
        singles = {AddressPair(pair.mac.lower(), ip) for pair in self.pairs if (ip := pair.single) and ip not in own}
        return tuple(sorted(singles - set(self.holds), key=lambda pair: (pair.mac, pair.cidr)))


class Peer(msgspec.Struct, frozen=True, tag="peer"):
    """A bound port as the other hosts of its network see it; `vtep` is its host's tunnel address."""

    id: str
    network_id: str
    mac: str
    ips: tuple[str, ...]
    host: str
    vtep: str | None
    macs: tuple[str, ...] = ()
    """Further MACs it may use (allowed address pairs)."""
    name: str = ""
    """Its dns_name."""
    holds: tuple[AddressPair, ...] = ()
    """As a port's."""

    @property
    def scope(self) -> str:
        return f"peers:{self.network_id}"


class Leg(msgspec.Struct, frozen=True, tag="leg"):
    """A leg of a router that is up, as hosts see it that send to its network by another router and needn't know this
    one.
    """

    id: str
    router_id: str
    network_id: str
    mac: str
    ips: tuple[str, ...]

    @property
    def scope(self) -> str:
        return f"peers:{self.network_id}"


class Member(msgspec.Struct, frozen=True, tag="member"):
    """The addresses that a port adds to a security group which some rule names as its remote group.

    An address group is such a group, too: with one member, itself.
    """

    group_id: str
    port_id: str
    ips: tuple[str, ...]

    @property
    def id(self) -> str:
        return f"{self.group_id}/{self.port_id}"

    @property
    def scope(self) -> str:
        return f"members:{self.group_id}"


class SecurityGroupRule(msgspec.Struct, frozen=True):
    """`protocol` is an IP protocol number; `port_min`/`port_max` are ICMP type and code for protocol 1.

    `remote_group` is the security group, or the address group, whose members the rule is about.
    """

    id: str
    direction: Direction
    ethertype: Literal["IPv4", "IPv6"]
    protocol: int | None = None
    port_min: int | None = None
    port_max: int | None = None
    remote_prefix: str | None = None
    remote_group: str | None = None


class SecurityGroup(msgspec.Struct, frozen=True, tag="group"):
    """A security group whole: what its rules do not allow is dropped. Unless it is `stateful`, so are answers."""

    id: str
    rules: tuple[SecurityGroupRule, ...]
    stateful: bool = True

    @property
    def scope(self) -> str:
        return f"group:{self.id}"


class RouterInterface(msgspec.Struct, frozen=True):
    """A router's leg on one of its networks, the same on every host."""

    port_id: str
    network_id: str
    subnet_id: str
    cidr: str
    ip: str
    mac: str


class Gateway(msgspec.Struct, frozen=True):
    """A router's leg on an external network: its own address there, and the next hop of the default route."""

    network_id: str
    ip: str | None
    mac: str
    nexthop: str | None
    snat: bool = True
    """Whether what leaves here without a floating IP gets `ip` as its source address."""
    plain: tuple[str, ...] = ()
    """CIDRs that keep their own addresses all the same: they share the external network's address scope."""
    nexthop6: str | None = None
    ip6: str | None = None
    """Its own IPv6 address there, and the next hop of the IPv6 default route."""
    qos_id: str | None = None
    """The policy of what goes by the router's gateway hosts, other than that of floating IPs."""


class PortForwarding(msgspec.Struct, frozen=True):
    """L4 ports of an external address that lead to a fixed IP's: one to one from `inner_first`, or all to that one.

    `protocol` is an IP protocol number (6 or 17).
    """

    address: str
    protocol: int
    first: int
    last: int
    ip: str
    inner_first: int
    inner_last: int


class Router(msgspec.Struct, frozen=True, tag="router"):
    """A router with its legs; what has no leg and no route leaves by the gateway, if there is one."""

    id: str
    up: bool
    interfaces: tuple[RouterInterface, ...]
    gateway: Gateway | None = None
    routes: tuple[Route, ...] = ()
    forwardings: tuple[PortForwarding, ...] = ()
    limited: tuple[tuple[str, str], ...] = ()
    """The external addresses of `forwardings` that have a QoS policy, and its id."""
    proxied: tuple[str, ...] | None = None
    """The IPv6 addresses behind it that it answers for outside: no others of its networks are reached from there.
    None: it is no NDP proxy.
    """

    @property
    def scope(self) -> str:
        return f"router:{self.id}"


class GatewayHost(msgspec.Struct, frozen=True, order=True):
    """A host that can lead routers out, and its tunnel address. One that is drained leads none if another can; for one
    that is silent, as the controller hasn't heard of it for a while, another stands by.
    """

    host: str
    vtep: str
    drained: bool = False
    silent: bool = False


class Gateways(msgspec.Struct, frozen=True, tag="gateways"):
    """The hosts with a physical network (`id` is its name). `model.gateways` ranks them for each router."""

    id: str
    hosts: tuple[GatewayHost, ...]

    @property
    def scope(self) -> str:
        return f"physnet:{self.id}"


class FloatingIp(msgspec.Struct, frozen=True, tag="floating_ip"):
    """Told to the hosts that the port behind it is bound to. `mac` is the floating address's own on the outside.

    Of a virtual address `port_id` is the port that holds it.
    """

    id: str
    host: str
    network_id: str
    address: str
    mac: str
    port_id: str
    fixed_ip: str
    router_id: str
    qos_id: str | None = None
    active: bool = True
    """As the port there."""

    @property
    def scope(self) -> str:
        return f"host:{self.host}"


class BandwidthLimit(msgspec.Struct, frozen=True):
    """`burst_kbits` 0 means: choose (Neutron's recommendation for TCP is 80 % of the rate)."""

    direction: Direction
    rate_kbps: int
    burst_kbits: int = 0


class PacketLimit(msgspec.Struct, frozen=True):
    """In thousands of packets a second; `burst_kpackets` 0 means: choose."""

    direction: Direction
    rate_kpps: int
    burst_kpackets: int = 0


class PortBlock(msgspec.Struct, frozen=True):
    """Drop `protocol` (6 or 17) to l4 ports `port_min`..`port_max`; `direction` as seen from the guest."""

    id: str
    direction: Direction
    protocol: int
    port_min: int
    port_max: int
    remote_prefix: str | None = None


class QosPolicy(msgspec.Struct, frozen=True, tag="qos"):
    """Limits, blocks and the mark of the ports that name it; `dscp` is what their packets carry (RFC 2474).

    Floating IPs and gateways that name it have its limits and its mark.
    """

    id: str
    limits: tuple[BandwidthLimit, ...] = ()
    blocks: tuple[PortBlock, ...] = ()
    packet_limits: tuple[PacketLimit, ...] = ()
    dscp: int | None = None

    @property
    def scope(self) -> str:
        return f"qos:{self.id}"


Object = (
    Network
    | Subnet
    | Port
    | Peer
    | Leg
    | Member
    | SecurityGroup
    | Router
    | FloatingIp
    | Gateways
    | QosPolicy
    | Restriction
)


def since(thing: Object) -> int:
    """The first schema whose speakers can read it."""
    if isinstance(thing, Leg):
        return 4
    if isinstance(thing, Restriction):
        return 3
    newer = isinstance(thing, Gateways) or (isinstance(thing, Network) and thing.kind in ("gre", "geneve"))
    return 2 if newer or (isinstance(thing, Port | FloatingIp) and not thing.active) else 1


def key(thing: Object) -> Key:
    """Under which a view keeps the object."""
    return str(type(thing).__struct_config__.tag), thing.id


MOST_REQUESTS: Final = 16
"""Request ids in one delta: enough to follow a change by, and no more than a line of a log."""


class Position(msgspec.Struct, frozen=True):
    """What a host holds: everything up to `revision` of `epoch` of `store`, in these scopes."""

    store: str
    epoch: int
    revision: int
    scopes: tuple[str, ...] = ()
    schema: int = 1
    """The one that the host spoke when it was told of them."""


class Watch(msgspec.Struct, frozen=True):
    """POST /hosts/v1/watch: the agent asks for all that follows `position` (None: it holds nothing)."""

    schema: int
    position: Position | None = None


class Snapshot(msgspec.Struct, frozen=True, tag="snapshot"):
    """The whole view; replaces what the host holds, subject to its guard against mass deletion.

    `accepted` means that an operator has looked at what would be deleted here: the guard lets this one through.
    """

    position: Position
    objects: tuple[Object, ...]
    accepted: bool = False


class Delta(msgspec.Struct, frozen=True, tag="delta"):
    """First forget every object of the `dropped` scopes, then delete, then set. `position.scopes` is what is held
    afterwards. `requests` are the ids of API requests that it follows from, the first `MOST_REQUESTS` of them.
    """

    position: Position
    dropped: tuple[str, ...] = ()
    deleted: tuple[Key, ...] = ()
    objects: tuple[Object, ...] = ()
    requests: tuple[str, ...] = ()


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """The line is alive. Sent at once and every few seconds; three missing, and nothing else, mean a dead line."""

    revision: int
    clock_s: float = 0.0
    """What time it is to the controller, in seconds since 1970: restrictions end by that. 0.0: it didn't say."""


class Retry(msgspec.Struct, frozen=True, tag="retry"):
    """The server is admitting others first: come back after so long. Ends the stream."""

    after_s: float


Frame = Snapshot | Delta | Ping | Retry | Question | CountDrops | Look


class Exported(msgspec.Struct, frozen=True):
    """How flow records name an interface of a host: by its number (0: none are exported), and the address that they
    come from (empty: the host's tunnel address).
    """

    ifindex: int = 0
    exporter: str = ""


class PortReport(msgspec.Struct, frozen=True):
    """What a host says of one of its ports. `reason` explains `DOWN` in words for people."""

    port_id: str
    status: Literal["ACTIVE", "DOWN"]
    reason: str = ""
    ifindex: int = 0
    exporter: str = ""

    @property
    def exported(self) -> Exported:
        """By which name flow records tell of it."""
        return Exported(self.ifindex, self.exporter)


class Drift(msgspec.Struct, frozen=True):
    """What a host's switch had other than it was left: entries of `owner` (`kind/id`; empty: nobody's) that were
    missing, changed or extra, with one of them as `example`, `age_s` before it was told. `reason`: why it isn't
    repaired. So are repairs that came later and removals of orphans told, as their `kind` says. `id` is the host's for
    it, the same however often it is told; `by` who had it done, if that is not the agent by itself.
    """

    owner: str
    missing: int = 0
    changed: int = 0
    extra: int = 0
    example: str = ""
    repaired: bool = True
    reason: str = ""
    age_s: float = 0.0
    kind: EventKind = "drift"
    id: str = ""
    by: str = ""


class Claim(msgspec.Struct, frozen=True):
    """The guest of a port said, `age_s` before it is told, that it has the single address of this pair."""

    port_id: str
    pair: AddressPair
    age_s: float = 0.0


class Report(msgspec.Struct, frozen=True):
    """POST /hosts/v1/report: the position whose flows are in the switch, and what changed since the last report.

    `held` says why a snapshot is not applied (the guard); `failures` maps an owner (`kind/id`) to what the switch
    refused. `drifts` are new ones; `foreign` and `orphans` are what the last check found without an owner, in words.
    Only ports bound to the reporting host are believed, as to `claims` and `reading` too.
    """

    position: Position
    ports: tuple[PortReport, ...] = ()
    held: str = ""
    failures: dict[str, str] = {}
    drifts: tuple[Drift, ...] = ()
    foreign: str = ""
    orphans: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()
    reading: Reading | None = None
    clock_s: float = 0.0
    """What time it is on the host (UTC, seconds), by which it lifts restrictions; 0: it doesn't say."""
    last_readings: tuple[Reading, ...] = ()
    """Of ports whose flows or devices have gone since, the oldest first: a newer reading doesn't say what these do."""
    leads_out: bool = True
    """Whether it would lead routers out now, were it first in rank: nobody replaced it, and nothing hinders it."""
    missing: tuple[str, ...] = ()
    """Ports whose interfaces are here, and of which the host was told nothing: it waits for them (since schema 7)."""


class Join(msgspec.Struct, frozen=True):
    """POST /hosts/v1/join: `token` is good for one host, once."""

    token: str
    host: str
    tunnel_ip: str | None
    physnets: tuple[str, ...] = ()
    schema: int = SCHEMA


class Joined(msgspec.Struct, frozen=True):
    """The host's own credential, sent afterwards as `Authorization: Bearer …`."""

    host: str
    credential: str
    store: str
