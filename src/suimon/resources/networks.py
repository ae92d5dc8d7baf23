"""Networks: made with a segment of their own, shared or external by admins, deleted when nothing is left on them.

Who may use a network is in its RBAC entries; the row says `external` too, while any entry lets somebody reach outside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Text, cast, func, select

from suimon.model import checks
from suimon.model.actor import Actor
from suimon.model.attributes import Target
from suimon.model.errors import Conflict, NotFound
from suimon.model.specs.networks import NETWORK
from suimon.model.things import FloatingIp, Network, Port, Router, Subnet
from suimon.model.touches import FLOATING_IP
from suimon.resources import segments, sharing
from suimon.resources.collection import Collection, Extra, require_revision
from suimon.resources.ids import new_id
from suimon.resources.persona import RULES, require_act
from suimon.resources.qos import default_policy, require_policy
from suimon.store.errors import Taken
from suimon.store.tables import NETWORKS as TABLE
from suimon.store.tables import SUBNET_POOLS, SUBNETS
from suimon.store.tx import Tx

SPEC: Final = NETWORK.governed_by(RULES)
KIND: Final = "network"
_SUBNET: Final = (
    SUBNETS.c.id
    + "/"
    + cast(SUBNETS.c.ip_version, Text)
    + "/"
    + func.coalesce(SUBNET_POOLS.c.address_scope_id, "")
    + "/"
    + func.coalesce(SUBNETS.c.segment_id, "")
)
_SUBNETS: Final = (
    select(func.aggregate_strings(_SUBNET, " "))
    .select_from(SUBNETS.outerjoin(SUBNET_POOLS, SUBNET_POOLS.c.id == SUBNETS.c.subnetpool_id))
    .where(SUBNETS.c.network_id == TABLE.c.id)
    .scalar_subquery()
)


def _of_subnets(_network: Network, text: str | None) -> dict[str, object]:
    """What follows from the subnets: their ids, each IP version's address scope, whether they share an Ethernet."""
    subnets = [one.split("/") for one in (text or "").split()]
    scopes = {version: scope for _, version, scope, _ in subnets if scope}
    return {
        "subnets": sorted(subnet[0] for subnet in subnets),
        "ipv4_address_scope": scopes.get("4"),
        "ipv6_address_scope": scopes.get("6"),
        "l2_adjacency": not any(subnet[3] for subnet in subnets),
    }


NETWORKS: Final = Collection(
    spec=SPEC,
    type=Network,
    not_found=("NetworkNotFound", "Network {} could not be found."),
    visible=sharing.visible(KIND, TABLE, sharing.AS_SHARED, sharing.AS_EXTERNAL),
    extras=(Extra(_SUBNETS, _of_subnets, of=()), sharing.shared_extra(KIND, TABLE)),
    special={"shared": lambda texts: sharing.by_shared(KIND, TABLE, texts)},
    open_filters=frozenset({"provider:network_type", "provider:physical_network", "provider:segmentation_id"}),
)
AUTO_DELETED: Final = frozenset({"network:dhcp", "network:distributed"})
"""Owners of ports that go with their network, and whose addresses go with their subnet."""
MIN_MTU: Final = {4: 68, 6: 1280}
"""The smallest MTU that a subnet of each IP version needs (RFC 791, RFC 8200)."""


def create_network(tx: Tx, actor: Actor, wanted: Mapping[str, Any]) -> Network:
    """Raises Forbidden, BadRequest for an impossible segment or MTU, Conflict when the segment is taken."""
    require_act(actor, "create_network", SPEC, wanted, Target(wanted["project_id"]))
    require_zones(tx, wanted["availability_zone_hints"])
    segment = segments.choose(
        tx, wanted["project_id"], wanted.get("network_type"), wanted.get("physnet"), wanted.get("segment")
    )
    most = segments.largest_mtu(tx.settings, segment.network_type)
    values = {**wanted, "network_type": segment.network_type, "physnet": segment.physnet, "segment": segment.id}
    values["mtu"] = _mtu(wanted["mtu"], most)
    require_policy(tx, actor, wanted["qos_policy_id"])
    values["qos_policy_id"] = wanted["qos_policy_id"] or default_policy(tx, wanted["project_id"])
    values["is_default"] = wanted["is_default"] and wanted["external"]
    is_shared = values.pop("shared")
    network = Network(id=new_id(), created_at=tx.now, updated_at=tx.now, **values)
    if network.is_default:
        _require_only_default(tx, network)
    try:
        tx.insert(network)
    except Taken as taken:
        raise segments.in_use(segment) from taken
    if is_shared:
        sharing.share_with_all(tx, KIND, network)
    if network.external:
        sharing.share_with_all(tx, KIND, network, sharing.AS_EXTERNAL)
    return network


def create_networks(tx: Tx, actor: Actor, wanted: Sequence[Mapping[str, Any]]) -> list[Network]:
    """All or none."""
    return [create_network(tx, actor, one) for one in wanted]


def update_network(
    tx: Tx, actor: Actor, id_: str, wanted: Mapping[str, Any], expected_revision: int | None = None
) -> Network:
    """Raises NotFound, Forbidden, PreconditionFailed, BadRequest, Conflict when others use what is taken away."""
    network = NETWORKS.find(tx, actor, id_)
    require_act(actor, "update_network", SPEC, wanted, Target(network.project_id))
    require_revision(network, expected_revision)
    values = {**wanted, **_segment(tx, network, wanted)}
    is_shared = values.pop("shared", None)
    if "mtu" in values:
        values["mtu"] = _mtu(values["mtu"], segments.largest_mtu(tx.settings, network.network_type))
        require_mtu_for(values["mtu"], tx.select(Subnet, {"network_id": id_}))
    if "qos_policy_id" in values:
        require_policy(tx, actor, values["qos_policy_id"], replaces=network.qos_policy_id)
    if not wanted:
        return network
    after = msgspec.structs.replace(network, **values)
    values["is_default"] = after.is_default and after.external
    if values["is_default"] and not network.is_default:
        _require_only_default(tx, network)
    _lead_outside(tx, network, after)
    if is_shared is not None:
        _share(tx, network, is_shared)
    try:
        return tx.change(network, **values)
    except Taken as taken:
        raise segments.in_use(segments.Segment(after.network_type, after.physnet, after.segment)) from taken


def _lead_outside(tx: Tx, before: Network, after: Network) -> None:
    """The entries of a network that becomes external, or no longer is. Raises Conflict when it is used as such."""
    if after.external and not before.external:
        sharing.share_with_all(tx, KIND, after, sharing.AS_EXTERNAL)
    if before.external and not after.external:
        _require_no_external_use(tx, before)
        sharing.unshare(tx, before.id, sharing.AS_EXTERNAL, None)


def _share(tx: Tx, network: Network, is_shared: bool) -> None:
    """With everybody, or not any more. Raises Conflict when somebody uses it whom no other entry lets."""
    if is_shared:
        sharing.share_with_all(tx, KIND, network)
    elif sharing.EVERYBODY in (targets := sharing.shared_with(tx, network.id)):
        # Gateways and floating IPs' ports belong to nobody: all use an external network without its being shared.
        users = {port.project_id for port in tx.select(Port, {"network_id": network.id})} - {"", network.project_id}
        if users - targets:
            raise Conflict(
                f"Unable to reconfigure sharing settings for network {network.id}. Multiple tenants are using it.",
                "InvalidSharedSetting",
            )
        sharing.unshare(tx, network.id)


def delete_network(tx: Tx, actor: Actor, id_: str, expected_revision: int | None = None) -> None:
    """With its subnets, its floating IPs that stand for nothing and the ports that only serve it. Raises NotFound,
    Forbidden, PreconditionFailed, and Conflict when other ports are left.
    """
    network = NETWORKS.find(tx, actor, id_)
    require_act(actor, "delete_network", SPEC, {}, Target(network.project_id))
    require_revision(network, expected_revision)
    there = tx.select(Port, {"network_id": id_})
    idle: list[FloatingIp] = []
    if any(port.device_owner == FLOATING_IP for port in there):
        idle = tx.select(FloatingIp, {"floating_network_id": id_, "port_id": None})
    served = {floating_ip.floating_port_id for floating_ip in idle}
    ports = [port for port in there if port.id not in served and port.device_owner not in AUTO_DELETED]
    if ports:
        raise Conflict(
            f"Unable to complete operation on network {id_}. There are one or more ports still in use on the network, "
            f"id for these ports is: {','.join(port.id for port in ports)}.",
            "NetworkInUse",
        )
    for things in (idle, there, tx.select(Subnet, {"network_id": id_})):
        tx.delete_many(things)
    sharing.forget(tx, id_)
    tx.delete(network)


def require_zones(tx: Tx, hints: Sequence[str]) -> None:
    """Raises NotFound for an availability zone that there isn't."""
    for zone in hints:
        if zone != tx.settings.availability_zone:
            raise NotFound(f"AvailabilityZone {zone} could not be found.", "AvailabilityZoneNotFound")


def require_mtu_for(mtu: int, subnets: Sequence[Subnet]) -> None:
    """Raises Conflict when a subnet's IP version needs more."""
    for subnet in subnets:
        if mtu < MIN_MTU[subnet.ip_version]:
            raise Conflict(
                f"The MTU {mtu} of network {subnet.network_id} is too low for an IPv{subnet.ip_version} subnet, which "
                "needs "
                f"at least {MIN_MTU[subnet.ip_version]}.",
                "NetworkMTUSubnetConflict",
            )


def _mtu(wanted: int, most: int) -> int:
    if wanted > most:
        raise checks.invalid(f"Requested MTU is too big, maximum is {most}")
    return wanted or most


def _segment(tx: Tx, network: Network, wanted: Mapping[str, Any]) -> dict[str, object]:
    """The segment after an update: of a VLAN network the id may change, nothing else. Raises BadRequest."""
    given = {name: wanted[name] for name in ("network_type", "physnet", "segment") if wanted.get(name) is not None}
    if any(
        given.get(name, kept) != kept
        for name, kept in (("network_type", network.network_type), ("physnet", network.physnet))
    ):
        raise checks.invalid(
            "Plugin does not support updating the following provider network attributes: provider:network_type, "
            "provider:physical_network"
        )
    if given.get("segment", network.segment) != network.segment:
        if network.network_type != "vlan":
            raise checks.invalid("Only VLAN type networks can be updated")
        segments.choose(tx, network.project_id, network.network_type, network.physnet, given["segment"])
    kept = {"network_type": network.network_type, "physnet": network.physnet, "segment": network.segment}
    return {name: given.get(name, value) for name, value in kept.items() if name in wanted}


def _require_only_default(tx: Tx, network: Network) -> None:
    for other in tx.select(Network, {"is_default": True}):
        if other.id != network.id:
            raise Conflict(f"A default external network already exists: {other.id}.", "DefaultExternalNetworkExists")


def _require_no_external_use(tx: Tx, network: Network) -> None:
    routers = tx.select(Router, {"gateway_network_id": network.id}, limit=1)
    floating_ips = tx.select(FloatingIp, {"floating_network_id": network.id}, limit=1)
    if routers or floating_ips:
        raise Conflict(
            f"External network {network.id} cannot be updated to be made non-external, since it has existing gateway "
            "ports.",
            "ExternalNetworkInUse",
        )
