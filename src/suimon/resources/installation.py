"""What there is of the installation to read: service providers, availability zones, how full networks are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any, Final

from sqlalchemy import bindparam, func, select

from suimon.model.actor import Actor
from suimon.model.attributes import Shown
from suimon.model.errors import NotFound
from suimon.model.query import Query, cut
from suimon.model.specs.installation import AVAILABILITY_ZONE, NETWORK_IP_AVAILABILITY, SERVICE_PROVIDER
from suimon.model.things import AvailabilityZone, Network, NetworkIpAvailability, ServiceProvider, Subnet
from suimon.resources.persona import RULES, permits
from suimon.store.tables import IP_ALLOCATIONS, SUBNETS
from suimon.store.tx import Tx

PROVIDER_SPEC: Final = SERVICE_PROVIDER.governed_by(RULES)
ZONE_SPEC: Final = AVAILABILITY_ZONE.governed_by(RULES)
IP_SPEC: Final = NETWORK_IP_AVAILABILITY.governed_by(RULES)
_PROVIDERS: Final = (ServiceProvider(service_type="L3_ROUTER_NAT", name="suimon"),)
_USED = (
    select(IP_ALLOCATIONS.c.subnet_id, func.count())
    .join(SUBNETS, SUBNETS.c.id == IP_ALLOCATIONS.c.subnet_id)
    .group_by(IP_ALLOCATIONS.c.subnet_id)
)
_USED_OF = _USED.where(SUBNETS.c.network_id.in_(bindparam("networks", expanding=True)))


def list_service_providers(_tx: Tx, _actor: Actor, query: Query) -> list[Shown]:
    """The same for everybody."""
    return cut(PROVIDER_SPEC, [Shown(each) for each in _PROVIDERS], query)


def list_availability_zones(tx: Tx, _actor: Actor, query: Query) -> list[Shown]:
    """The one zone, for networks and for routers."""
    zones = [AvailabilityZone(name=tx.settings.availability_zone, resource=each) for each in ("network", "router")]
    return cut(ZONE_SPEC, [Shown(zone) for zone in zones], query)


def list_ip_availabilities(tx: Tx, actor: Actor, query: Query) -> list[Shown]:
    """For operators; nothing for others. `ip_version=` is about a network's subnets, not about the network."""
    if not permits(actor, "get_network_ip_availability"):
        return []
    versions = {int(text) for text in query.filters.get("ip_version", ()) if text in ("4", "6")}
    networks = tx.select(Network)
    found = _availabilities(tx, networks, tx.select(Subnet), tx.rows(_USED, {}), versions)
    if query.filters.get("ip_version"):
        found = [each for each in found if each.subnets]
    others = {name: texts for name, texts in query.filters.items() if name != "ip_version"}
    return cut(IP_SPEC, [Shown(each) for each in found], Query(others, sort=query.sort, **_paging(query)))


def get_ip_availability(tx: Tx, actor: Actor, network_id: str) -> Shown:
    """Raises NotFound."""
    network = tx.get(Network, network_id) if permits(actor, "get_network_ip_availability") else None
    if network is None:
        raise NotFound(f"Network {network_id} could not be found.", "NetworkNotFound")
    used = tx.rows(_USED_OF, {"networks": [network_id]})
    return Shown(_availabilities(tx, [network], tx.select(Subnet, {"network_id": network_id}), used, set())[0])


def _paging(query: Query) -> dict[str, Any]:
    return {"limit": query.limit, "marker": query.marker, "reverse": query.reverse}


def _availabilities(
    _tx: Tx,
    networks: Sequence[Network],
    subnets: Sequence[Subnet],
    used: Sequence[Any],
    versions: set[int],
) -> list[NetworkIpAvailability]:
    counts: Mapping[str, int] = {subnet_id: int(count) for subnet_id, count in used}
    told: dict[str, list[dict[str, object]]] = {}
    for subnet in subnets:
        if not versions or subnet.ip_version in versions:
            told.setdefault(subnet.network_id, []).append(
                {
                    "subnet_id": subnet.id,
                    "subnet_name": subnet.name,
                    "ip_version": subnet.ip_version,
                    "cidr": subnet.cidr,
                    "total_ips": _size(subnet),
                    "used_ips": counts.get(subnet.id, 0),
                }
            )
    return [
        NetworkIpAvailability(
            network_id=network.id,
            network_name=network.name,
            project_id=network.project_id,
            subnets=(here := tuple(told.get(network.id, ()))),
            total_ips=sum(int(str(each["total_ips"])) for each in here),
            used_ips=sum(int(str(each["used_ips"])) for each in here),
        )
        for network in networks
    ]


def _size(subnet: Subnet) -> int:
    """An IPv6 pool's is more than 64 bits hold: it is a Python number, never a column."""
    return sum(int(ip_address(pool.end)) - int(ip_address(pool.start)) + 1 for pool in subnet.allocation_pools)
