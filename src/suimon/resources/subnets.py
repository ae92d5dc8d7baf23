"""Subnets: a range of addresses on a network, its pools, its gateway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, or_, select

from suimon.model import checks
from suimon.model.actor import Actor
from suimon.model.attributes import Target
from suimon.model.errors import BadRequest, Conflict
from suimon.model.ranges import Range, contains, without
from suimon.model.specs.networks import MAX_NAMESERVERS, MAX_ROUTES, SUBNET
from suimon.model.things import Network, Pool, Port, Subnet, SubnetPool
from suimon.model.touches import ROUTER_PORTS, UNPLUGGED
from suimon.model.view import FixedIp
from suimon.resources import addresses, network_segments, sharing, subnet_pools
from suimon.resources.collection import VIEWER, Collection, Extra, require_revision
from suimon.resources.ids import new_id
from suimon.resources.networks import AUTO_DELETED, NETWORKS, require_mtu_for
from suimon.resources.persona import RULES, require_act
from suimon.store.tables import NETWORKS as NETWORK_TABLE
from suimon.store.tables import SUBNETS as TABLE
from suimon.store.tx import Tx

SPEC: Final = SUBNET.governed_by(RULES)
_EXTERNAL: Final = select(NETWORK_TABLE.c.external).where(NETWORK_TABLE.c.id == TABLE.c.network_id).scalar_subquery()


def _by_external(texts: list[str]) -> ColumnElement[bool]:
    wanted = [checks.boolean(text) for text in texts]
    return TABLE.c.network_id.in_(select(NETWORK_TABLE.c.id).where(NETWORK_TABLE.c.external.in_(wanted)))


def _after_write(tx: Tx, subnets: Sequence[Subnet]) -> list[dict[str, object]]:
    networks = [tx.get(Network, subnet.network_id) for subnet in subnets]
    return [{"router:external": network is not None and network.external} for network in networks]


SUBNETS: Final = Collection(
    spec=SPEC,
    type=Subnet,
    not_found=("SubnetNotFound", "Subnet {} could not be found."),
    visible=or_(
        TABLE.c.project_id == VIEWER,
        TABLE.c.network_id.in_(select(NETWORK_TABLE.c.id).where(NETWORK_TABLE.c.project_id == VIEWER)),
        sharing.shared("network", TABLE.c.network_id, sharing.AS_SHARED, sharing.AS_EXTERNAL),
    ),
    extras=(Extra(_EXTERNAL, lambda _, external: {"router:external": bool(external)}, of=()),),
    special={
        "shared": lambda texts: sharing.by_shared("network", TABLE.c.network_id, texts),
        "router:external": _by_external,
    },
    after_write=_after_write,
)
AUTO_ADDRESS: Final = frozenset({"slaac", "dhcpv6-stateless"})
"""Address modes in which a guest forms its own address from its MAC (RFC 4862)."""
Cidr = IPv4Network | IPv6Network
_ROUTED: Final = "network:routed"
"""The service of subnets whose addresses routers announce, wherever they are."""
_NOBODYS: Final = tuple(
    ip_network(text) for text in ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "::/127", "ff00::/8")
)
"""Unspecified, loopback, multicast and broadcast addresses (RFC 6890): they are no interface's."""


def create_subnet(tx: Tx, actor: Actor, wanted: Mapping[str, Any]) -> Subnet:
    """Raises NotFound, Forbidden, BadRequest for addresses that don't fit, Conflict for pools that clash."""
    network = NETWORKS.find(tx, actor, wanted["network_id"])
    require_act(actor, "create_subnet", SPEC, wanted, Target(wanted["project_id"], network.project_id))
    pool = subnet_pools.pool_for(tx, actor, wanted)
    cidr = _cidr(tx, pool, wanted)
    values = {name: value for name, value in wanted.items() if name not in ("use_default_subnetpool", "prefixlen")}
    values.update(cidr=str(cidr), subnetpool_id=pool.id if pool else None)
    _require_modes(values, cidr)
    _require_dhcp(cidr, values["enable_dhcp"])
    values.setdefault("gateway_ip", _default_gateway(cidr))
    if values.get("allocation_pools") is None:
        values["allocation_pools"] = _default_pools(cidr, values["gateway_ip"])
    subnet = Subnet(id=new_id(), created_at=tx.now, updated_at=tx.now, **values)
    _require_sound(subnet)
    others = tx.select(Subnet, {"network_id": network.id}, order=("created_at", "id"))
    if any(cidr.overlaps(ip_network(other.cidr)) for other in others if other.ip_version == subnet.ip_version):
        raise checks.invalid(
            f"Requested subnet with cidr: {cidr} for network: {network.id} overlaps with another subnet"
        )
    require_mtu_for(network.mtu, [subnet])
    subnet_pools.require_affinity(tx, [other for other in others if other.ip_version == subnet.ip_version], pool)
    _require_segment(tx, actor, subnet, others)
    tx.insert(subnet)
    addresses.open_pools(tx, subnet)
    if is_automatic(subnet):
        _form_addresses(tx, subnet)
    tx.change(network)
    return subnet


def create_subnets(tx: Tx, actor: Actor, wanted: Sequence[Mapping[str, Any]]) -> list[Subnet]:
    """All or none."""
    return [create_subnet(tx, actor, one) for one in wanted]


def update_subnet(
    tx: Tx, actor: Actor, id_: str, wanted: Mapping[str, Any], expected_revision: int | None = None
) -> Subnet:
    """Raises NotFound, Forbidden, PreconditionFailed, BadRequest, Conflict."""
    subnet = SUBNETS.find(tx, actor, id_)
    network = tx.get(Network, subnet.network_id)
    assert network is not None
    require_act(actor, "update_subnet", SPEC, wanted, Target(subnet.project_id, network.project_id))
    require_revision(subnet, expected_revision)
    values = dict(wanted)
    if values.get("allocation_pools", ()) is None:
        del values["allocation_pools"]
    after = msgspec.structs.replace(subnet, **values)
    _require_sound(after)
    _require_dhcp(ip_network(after.cidr), after.enable_dhcp and not subnet.enable_dhcp)
    if "enable_dhcp" in values and not after.enable_dhcp and (after.ipv6_ra_mode or after.ipv6_address_mode):
        raise checks.invalid("Cannot disable enable_dhcp with ipv6 attributes set")
    if after.segment_id != subnet.segment_id:
        others = [other for other in tx.select(Subnet, {"network_id": network.id}) if other.id != id_]
        _require_segment(tx, actor, after, others)
        if subnet.segment_id:
            raise BadRequest(
                "A subnet that is already associated with a segment cannot have its segment association changed.",
                "SubnetSegmentAssociationChangeNotAllowed",
            )
    if after.gateway_ip != subnet.gateway_ip and subnet.gateway_ip is not None:
        _require_gateway_unused(tx, subnet)
    if not values:
        return subnet
    changed = tx.change(subnet, **values)
    if changed.allocation_pools != subnet.allocation_pools:
        addresses.reopen_pools(tx, changed)
    return changed


def delete_subnet(tx: Tx, actor: Actor, id_: str, expected_revision: int | None = None) -> None:
    """Addresses that guests form themselves go with it, and those of ports that only serve its network. Raises
    NotFound, Forbidden, PreconditionFailed, Conflict when other ports have an address of it.
    """
    subnet = SUBNETS.find(tx, actor, id_)
    network = tx.get(Network, subnet.network_id)
    assert network is not None
    require_act(actor, "delete_subnet", SPEC, {}, Target(subnet.project_id, network.project_id))
    require_revision(subnet, expected_revision)
    held = set(addresses.holders(tx, subnet).values())
    ports = tx.select(Port, {"id": held}) if held else []
    lets_go = (lambda port: port.device_owner not in ROUTER_PORTS) if is_automatic(subnet) else _only_serves
    if not all(map(lets_go, ports)):
        raise Conflict(
            f"Unable to complete operation on subnet {id_}: One or more ports have an IP allocation from this subnet.",
            "SubnetInUse",
        )
    for port in ports:
        tx.change(port, fixed_ips=tuple(fixed for fixed in port.fixed_ips if fixed.subnet_id != id_))
    if ports:
        addresses.give_back_all(tx, subnet)
    tx.delete(subnet)
    tx.change(network)


def is_automatic(subnet: Subnet) -> bool:
    """Whether guests form their own addresses on it."""
    return bool({subnet.ipv6_address_mode, subnet.ipv6_ra_mode} & AUTO_ADDRESS)


def formed_address(subnet: Subnet, mac: str) -> str:
    """What a guest makes of its MAC and the prefix (RFC 4291, appendix A: modified EUI-64)."""
    digits = bytes.fromhex(mac.replace(":", ""))
    interface = bytes([digits[0] ^ 2]) + digits[1:3] + b"\xff\xfe" + digits[3:]
    return str(IPv6Address(int(ip_network(subnet.cidr).network_address) | int.from_bytes(interface)))


def holds(subnet: Subnet, ip: str) -> bool:
    """Whether a port may have this address: inside, and in IPv4 neither the network's own nor the broadcast address."""
    cidr, address = ip_network(subnet.cidr), ip_address(ip)
    if address not in cidr:
        return False
    return cidr.version == 6 or cidr.prefixlen >= 31 or address not in (cidr.network_address, cidr.broadcast_address)


def _cidr(tx: Tx, pool: SubnetPool | None, wanted: Mapping[str, Any]) -> Cidr:
    if wanted.get("cidr") is not None and "prefixlen" in wanted:
        raise BadRequest("Bad subnets request: cidr and prefixlen must not be supplied together.", "BadRequest")
    if wanted.get("cidr") is None and pool is None:
        raise BadRequest("Bad subnets request: a subnetpool must be specified in the absence of a cidr.", "BadRequest")
    if wanted.get("cidr") is not None:
        _require_usable(ip_network(wanted["cidr"]), wanted["ip_version"])
    if pool is None:
        return ip_network(wanted["cidr"])
    cidr = subnet_pools.cut(tx, pool, wanted)
    _require_usable(cidr, wanted["ip_version"])
    return cidr


def _require_usable(cidr: Cidr, ip_version: int) -> None:
    text = str(cidr)
    if cidr.version != ip_version:
        raise checks.invalid(f"cidr '{text}' does not match the ip_version '{ip_version}'")
    if cidr.prefixlen == 0:
        raise checks.invalid("0 is not allowed as CIDR prefix length")
    if cidr.version == 6 and not int(cidr.network_address):
        raise checks.invalid("IPv6 subnet '::' is not supported")
    if any(cidr.version == other.version and cidr.overlaps(other) for other in _NOBODYS):
        raise checks.invalid(f"cidr '{text}' has addresses that no port can have: multicast, loopback or unspecified")


def _require_dhcp(cidr: Cidr, begins: bool) -> None:
    """There is room for DHCP where it is switched on."""
    if begins and cidr.prefixlen > (30 if cidr.version == 4 else 126):
        raise checks.invalid("Subnet has a prefix length that is incompatible with DHCP service enabled")


def _require_segment(tx: Tx, actor: Actor, subnet: Subnet, others: Sequence[Subnet]) -> None:
    """All subnets of a network are on segments of it, or none is. Raises NotFound, BadRequest."""
    if subnet.segment_id is not None:
        segment = network_segments.get_segment(tx, actor, subnet.segment_id).thing
        if segment.network_id != subnet.network_id:  # type: ignore[attr-defined]
            raise BadRequest(
                f"The subnet's network id, '{subnet.network_id}', doesn't match the network_id of segment "
                f"'{subnet.segment_id}'.",
                "NetworkIdsDontMatch",
            )
    beside = [other for other in others if _ROUTED not in other.service_types]
    if _ROUTED not in subnet.service_types and any(bool(one.segment_id) != bool(subnet.segment_id) for one in beside):
        raise BadRequest(
            f"All of the subnets on network '{subnet.network_id}' must either all be associated with segments or all "
            "not associated with any segments.",
            "SubnetsNotAllAssociatedWithSegments",
        )


def _form_addresses(tx: Tx, subnet: Subnet) -> None:
    """The guests that are on the network already form their addresses, too."""
    ports = [port for port in tx.select(Port, {"network_id": subnet.network_id}) if port.device_owner not in UNPLUGGED]
    formed = {port.id: formed_address(subnet, port.mac_address) for port in ports}
    if formed:
        addresses.take(tx, subnet, formed.values())
        addresses.record(tx, [(subnet, ip, port_id) for port_id, ip in formed.items()])
    for port in ports:
        tx.change(port, fixed_ips=(*port.fixed_ips, FixedIp(subnet.id, formed[port.id])))


def _only_serves(port: Port) -> bool:
    return port.device_owner in AUTO_DELETED


def _require_modes(values: Mapping[str, Any], cidr: Cidr) -> None:
    """The IPv6 modes, by the table in Neutron's API reference. Raises BadRequest."""
    ra, address = values["ipv6_ra_mode"], values["ipv6_address_mode"]
    if cidr.version == 4:
        for name, mode in (("ipv6_ra_mode", ra), ("ipv6_address_mode", address)):
            if mode:
                raise checks.invalid(f"{name} is not valid when ip_version is 4")
        return
    if (ra or address) and not values["enable_dhcp"]:
        raise checks.invalid("ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False")
    if ra and address and ra != address:
        raise checks.invalid(
            f"ipv6_ra_mode set to '{ra}' with ipv6_address_mode set to '{address}' is not valid. If both attributes "
            "are set, "
            "they must be the same value"
        )
    if {address, ra} & AUTO_ADDRESS and cidr.prefixlen != 64:
        raise checks.invalid(
            f"Invalid CIDR {cidr} for IPv6 address mode. OpenStack uses the EUI-64 address format, which requires the "
            "prefix "
            "to be /64"
        )


def _default_gateway(cidr: Cidr) -> str | None:
    if cidr.num_addresses == 1:
        return None
    return str(cidr.network_address + (1 if cidr.version == 4 else 0))


def _default_pools(cidr: Cidr, gateway: str | None) -> tuple[Pool, ...]:
    first, last = int(cidr.network_address), int(cidr.broadcast_address)
    if cidr.num_addresses > 2:
        first, last = first + 1, last - (1 if cidr.version == 4 else 0)
    taken = [int(ip_address(gateway))] if gateway and ip_address(gateway).version == cidr.version else []
    return tuple(_pool(cidr, one) for one in without([(first, last)], taken))


def _pool(cidr: Cidr, numbers: Range) -> Pool:
    start = int(cidr.network_address)
    return Pool(str(cidr.network_address + (numbers[0] - start)), str(cidr.network_address + (numbers[1] - start)))


def _require_sound(subnet: Subnet) -> None:
    """Gateway, pools, name servers and routes fit the subnet and one another. Raises BadRequest, Conflict."""
    cidr = ip_network(subnet.cidr)
    _require_version(subnet, "gateway_ip", [subnet.gateway_ip] if subnet.gateway_ip else [])
    _require_version(subnet, "dns_nameserver", subnet.dns_nameservers)
    for route in subnet.host_routes:
        _require_version(subnet, "host_route", [route.destination.partition("/")[0], route.nexthop])
    _require_count(subnet, len(subnet.dns_nameservers), MAX_NAMESERVERS, "DNS nameservers", "DNSNameServersExhausted")
    _require_count(subnet, len(subnet.host_routes), MAX_ROUTES, "host routes", "HostRoutesExhausted")
    gateway = ip_address(subnet.gateway_ip) if subnet.gateway_ip else None
    if gateway and (
        any(gateway in other for other in _NOBODYS) or (gateway in cidr and not holds(subnet, str(gateway)))
    ):
        raise checks.invalid("Gateway is not valid on subnet")
    _require_pools(subnet, cidr)


def _require_version(subnet: Subnet, name: str, texts: Sequence[str]) -> None:
    for text in texts:
        if ip_address(text).version != subnet.ip_version:
            raise checks.invalid(f"{name} '{text}' does not match the ip_version '{subnet.ip_version}'")


def _require_count(subnet: Subnet, count: int, most: int, words: str, kind: str) -> None:
    if count > most:
        raise BadRequest(
            f"Unable to complete operation for {subnet.id}. The number of {words} exceeds the limit {most}.", kind
        )


def _require_pools(subnet: Subnet, cidr: Cidr) -> None:
    _require_version(
        subnet, "allocation_pool", [ip for pool in subnet.allocation_pools for ip in (pool.start, pool.end)]
    )
    last: Pool | None = None
    for pool in sorted(subnet.allocation_pools, key=lambda pool: int(ip_address(pool.start))):
        start, end = int(ip_address(pool.start)), int(ip_address(pool.end))
        if start > end:
            shown = {"start": pool.start, "end": pool.end}
            raise BadRequest(f"The allocation pool {shown} is not valid.", "InvalidAllocationPool")
        if not (holds(subnet, pool.start) and holds(subnet, pool.end)):
            raise BadRequest(
                f"The allocation pool {pool.start}-{pool.end} spans beyond the subnet cidr {cidr}.",
                "OutOfBoundsAllocationPool",
            )
        if last and start <= int(ip_address(last.end)):
            raise Conflict(
                f"Found overlapping allocation pools: {last.start}-{last.end} {pool.start}-{pool.end} for subnet "
                f"{cidr}.",
                "OverlappingAllocationPools",
            )
        if subnet.gateway_ip and contains([(start, end)], int(ip_address(subnet.gateway_ip))):
            raise Conflict(
                f"Gateway ip {subnet.gateway_ip} conflicts with allocation pool {pool.start}-{pool.end}.",
                "GatewayConflictWithAllocationPools",
            )
        last = pool


def _require_gateway_unused(tx: Tx, subnet: Subnet) -> None:
    """A router that answers as the gateway would answer to nothing. Raises Conflict."""
    port_id = addresses.holders(tx, subnet).get(subnet.gateway_ip or "")
    port = tx.get(Port, port_id) if port_id else None
    if port and port.device_owner in ROUTER_PORTS:
        raise Conflict(
            f"Current gateway ip {subnet.gateway_ip} already in use by port {port.id}. Unable to update.",
            "GatewayIpInUse",
        )
