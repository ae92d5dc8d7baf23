"""Subnets: a range of addresses on a network, its pools, its gateway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, Final

import msgspec
from sqlalchemy import or_, select

from suimon.model import checks
from suimon.model.actor import Actor
from suimon.model.attributes import Target
from suimon.model.errors import BadRequest, Conflict
from suimon.model.ranges import Range, contains, without
from suimon.model.specs.networks import MAX_NAMESERVERS, MAX_ROUTES, SUBNET
from suimon.model.things import Network, Pool, Port, Subnet
from suimon.model.touches import ROUTER_PORTS
from suimon.resources import addresses
from suimon.resources.collection import VIEWER, Collection, require_revision
from suimon.resources.ids import new_id
from suimon.resources.networks import NETWORKS, require_mtu_for
from suimon.resources.persona import RULES, require_act
from suimon.store.tables import NETWORKS as NETWORK_TABLE
from suimon.store.tables import SUBNETS as TABLE
from suimon.store.tx import Tx

SPEC: Final = SUBNET.governed_by(RULES)
SUBNETS: Final = Collection(
    spec=SPEC,
    type=Subnet,
    not_found=("SubnetNotFound", "Subnet {} could not be found."),
    visible=or_(
        TABLE.c.project_id == VIEWER,
        TABLE.c.network_id.in_(
            select(NETWORK_TABLE.c.id).where(or_(NETWORK_TABLE.c.shared, NETWORK_TABLE.c.project_id == VIEWER))
        ),
    ),
    after_write=lambda tx, subnet: {},
)
AUTO_ADDRESS: Final = frozenset({"slaac", "dhcpv6-stateless"})
"""Address modes in which a guest forms its own address from its MAC (RFC 4862)."""
Cidr = IPv4Network | IPv6Network
_NOBODYS: Final = tuple(
    ip_network(text) for text in ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "::/127", "ff00::/8")
)
"""Unspecified, loopback, multicast and broadcast addresses (RFC 6890): they are no interface's."""


def create_subnet(tx: Tx, actor: Actor, wanted: Mapping[str, Any]) -> Subnet:
    """Raises NotFound, Forbidden, BadRequest for addresses that don't fit, Conflict for pools that clash."""
    network = NETWORKS.find(tx, actor, wanted["network_id"])
    require_act(actor, "create_subnet", SPEC, wanted, Target(wanted["project_id"], network.project_id))
    if "cidr" not in wanted:
        raise BadRequest("Bad subnets request: a subnetpool must be specified in the absence of a cidr.", "BadRequest")
    values = {name: value for name, value in wanted.items() if name != "subnetpool_id"}
    cidr = _usable_cidr(values["cidr"], values["ip_version"])
    _require_modes(values, cidr)
    values.setdefault("gateway_ip", _default_gateway(cidr))
    if values.get("allocation_pools") is None:
        values["allocation_pools"] = _default_pools(cidr, values["gateway_ip"])
    subnet = Subnet(id=new_id(), created_at=tx.now, updated_at=tx.now, **values)
    _require_sound(subnet)
    others = tx.select(Subnet, {"network_id": network.id})
    if any(cidr.overlaps(ip_network(other.cidr)) for other in others if other.ip_version == subnet.ip_version):
        raise checks.invalid(
            f"Requested subnet with cidr: {cidr} for network: {network.id} overlaps with another subnet"
        )
    require_mtu_for(network.mtu, [subnet])
    tx.insert(subnet)
    addresses.open_pools(tx, subnet)
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
    if after.gateway_ip != subnet.gateway_ip and subnet.gateway_ip is not None:
        _require_gateway_unused(tx, subnet)
    if not values:
        return subnet
    changed = tx.change(subnet, **values)
    if changed.allocation_pools != subnet.allocation_pools:
        addresses.reopen_pools(tx, changed)
    return changed


def delete_subnet(tx: Tx, actor: Actor, id_: str, expected_revision: int | None = None) -> None:
    """Addresses that guests form themselves go with it. Raises NotFound, Forbidden, PreconditionFailed, Conflict."""
    subnet = SUBNETS.find(tx, actor, id_)
    network = tx.get(Network, subnet.network_id)
    assert network is not None
    require_act(actor, "delete_subnet", SPEC, {}, Target(subnet.project_id, network.project_id))
    require_revision(subnet, expected_revision)
    held = addresses.holders(tx, subnet)
    if held:
        ports = tx.select(Port, {"id": set(held.values())})
        if subnet.ipv6_address_mode not in AUTO_ADDRESS or any(port.device_owner in ROUTER_PORTS for port in ports):
            raise Conflict(
                f"Unable to complete operation on subnet {id_}: One or more ports have an IP allocation from this "
                "subnet.",
                "SubnetInUse",
            )
        for port in ports:
            addresses.give_back(tx, [fixed for fixed in port.fixed_ips if fixed.subnet_id == id_])
            tx.change(port, fixed_ips=tuple(fixed for fixed in port.fixed_ips if fixed.subnet_id != id_))
    tx.delete(subnet)
    tx.change(network)


def holds(subnet: Subnet, ip: str) -> bool:
    """Whether a port may have this address: inside, and in IPv4 neither the network's own nor the broadcast address."""
    cidr, address = ip_network(subnet.cidr), ip_address(ip)
    if address not in cidr:
        return False
    return cidr.version == 6 or cidr.prefixlen >= 31 or address not in (cidr.network_address, cidr.broadcast_address)


def _usable_cidr(text: str, ip_version: int) -> Cidr:
    cidr = ip_network(text)
    if cidr.version != ip_version:
        raise checks.invalid(f"cidr '{text}' does not match the ip_version '{ip_version}'")
    if cidr.prefixlen == 0:
        raise checks.invalid("0 is not allowed as CIDR prefix length")
    if any(cidr.version == other.version and cidr.overlaps(other) for other in _NOBODYS):
        raise checks.invalid(f"cidr '{text}' has addresses that no port can have: multicast, loopback or unspecified")
    return cidr


def _require_modes(values: Mapping[str, Any], cidr: Cidr) -> None:
    """The IPv6 modes, by the table in Neutron's API reference. Raises BadRequest."""
    ra, address = values["ipv6_ra_mode"], values["ipv6_address_mode"]
    if cidr.version == 4:
        for name, mode in (("ipv6_ra_mode", ra), ("ipv6_address_mode", address)):
            if mode:
                raise checks.invalid(f"{name} is not valid when ip_version is 4")
        return
    if ra and address and ra != address:
        raise checks.invalid(
            f"ipv6_ra_mode set to '{ra}' with ipv6_address_mode set to '{address}' is not valid. If both attributes "
            "are set, "
            "they must be the same value"
        )
    if (address or ra) in AUTO_ADDRESS and cidr.prefixlen != 64:
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
