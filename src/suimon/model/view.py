"""HostView: what one host is told, as small objects keyed by (kind, id), and the frames that carry it.

The controller's `distribution` writes these, the agent keeps them, `pipeline` turns them into flows. An object belongs
to one *scope*: a host holds the scopes it needs (its own ports, their networks, routers, groups …) and is told of
changes in those only. Objects are frozen and compare by value; frames are newline-delimited JSON on the wire. `SCHEMA`
grows when a meaning changes; an agent states the one it speaks.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

SCHEMA: Final = 1

Key = tuple[str, str]
"""(kind, id) of an object of a view; kinds are the structs' tags."""
Direction = Literal["ingress", "egress"]
"""As Neutron means it: ingress is towards the guest, egress is what the guest sends."""


class FixedIp(msgspec.Struct, frozen=True):
    """An address of a port, and the subnet that it is from."""

    subnet_id: str
    ip: str


class AddressPair(msgspec.Struct, frozen=True):
    """Another (MAC, address or CIDR) that a guest may use besides its own."""

    mac: str
    cidr: str


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
    """`kind` says how it leaves a host: `vxlan` (segment = VNI), `vlan` (segment = VLAN id) or `flat` on `physnet`."""

    id: str
    kind: Literal["vxlan", "vlan", "flat"]
    segment: int | None
    physnet: str | None
    mtu: int
    external: bool = False
    up: bool = True

    @property
    def scope(self) -> str:
        return f"network:{self.id}"


class Subnet(msgspec.Struct, frozen=True, tag="subnet"):
    """What DHCP tells the ports of a network; `dhcp` says whether it answers at all."""

    id: str
    network_id: str
    cidr: str
    gateway_ip: str | None
    dhcp: bool
    dns: tuple[str, ...] = ()
    routes: tuple[Route, ...] = ()

    @property
    def scope(self) -> str:
        return f"network:{self.network_id}"


class Port(msgspec.Struct, frozen=True, tag="port"):
    """A port bound to this host, whole."""

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

    @property
    def scope(self) -> str:
        return f"host:{self.host}"


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


class Router(msgspec.Struct, frozen=True, tag="router"):
    """A router with its legs; what has no leg and no route leaves by the gateway, if there is one."""

    id: str
    up: bool
    interfaces: tuple[RouterInterface, ...]
    gateway: Gateway | None = None
    routes: tuple[Route, ...] = ()

    @property
    def scope(self) -> str:
        return f"router:{self.id}"


class FloatingIp(msgspec.Struct, frozen=True, tag="floating_ip"):
    """Told to the host that the port behind it is bound to. `mac` is the floating address's own on the outside."""

    id: str
    host: str
    network_id: str
    address: str
    mac: str
    port_id: str
    fixed_ip: str
    router_id: str

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
    """Limits, blocks and the mark of the ports that name it; `dscp` is what their packets carry (RFC 2474)."""

    id: str
    limits: tuple[BandwidthLimit, ...] = ()
    blocks: tuple[PortBlock, ...] = ()
    packet_limits: tuple[PacketLimit, ...] = ()
    dscp: int | None = None

    @property
    def scope(self) -> str:
        return f"qos:{self.id}"


Object = Network | Subnet | Port | Peer | Member | SecurityGroup | Router | FloatingIp | QosPolicy


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
    """Nothing changed: the line is alive. Sent every few seconds; three missing mean a dead line."""

    revision: int


class Retry(msgspec.Struct, frozen=True, tag="retry"):
    """The server is admitting others first: come back after so long. Ends the stream."""

    after_s: float


Frame = Snapshot | Delta | Ping | Retry


class PortReport(msgspec.Struct, frozen=True):
    """What a host says of one of its ports. `reason` explains `DOWN` in words for people."""

    port_id: str
    status: Literal["ACTIVE", "DOWN"]
    reason: str = ""


class Counters(msgspec.Struct, frozen=True):
    """As the guest's OVS interface counts them: rx is what the guest sent."""

    port_id: str
    rx_bytes: int
    rx_packets: int
    tx_bytes: int
    tx_packets: int


class Report(msgspec.Struct, frozen=True):
    """POST /hosts/v1/report: the position whose flows are in the switch, and what changed since the last report.

    `held` says why a snapshot is not applied (the guard); `failures` maps an owner (`kind/id`) to what the switch
    refused. Only ports bound to the reporting host are believed.
    """

    position: Position
    ports: tuple[PortReport, ...] = ()
    counters: tuple[Counters, ...] = ()
    held: str = ""
    failures: dict[str, str] = {}


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
