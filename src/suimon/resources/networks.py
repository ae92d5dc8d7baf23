"""Networks: made with a segment of their own, shared or external by admins, deleted when nothing is left on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import func, or_, select

from suimon.model import checks
from suimon.model.actor import Actor
from suimon.model.attributes import Target
from suimon.model.errors import Conflict
from suimon.model.specs.networks import NETWORK
from suimon.model.things import FloatingIp, Network, Port, Router, Subnet
from suimon.resources import segments
from suimon.resources.collection import VIEWER, Collection, Extra, require_revision
from suimon.resources.ids import new_id
from suimon.resources.persona import RULES, require_act
from suimon.resources.qos import require_policy
from suimon.store.errors import Taken
from suimon.store.tables import NETWORKS as TABLE
from suimon.store.tables import SUBNETS
from suimon.store.tx import Tx

SPEC: Final = NETWORK.governed_by(RULES)
_SUBNETS: Final = (
    select(func.aggregate_strings(SUBNETS.c.id, " ")).where(SUBNETS.c.network_id == TABLE.c.id).scalar_subquery()
)
NETWORKS: Final = Collection(
    spec=SPEC,
    type=Network,
    not_found=("NetworkNotFound", "Network {} could not be found."),
    visible=or_(TABLE.c.project_id == VIEWER, TABLE.c.shared, TABLE.c.external),
    extras=(Extra(_SUBNETS, lambda _, ids: {"subnets": sorted((ids or "").split())}),),
)
MIN_MTU: Final = {4: 68, 6: 1280}
"""The smallest MTU that a subnet of each IP version needs (RFC 791, RFC 8200)."""


def create_network(tx: Tx, actor: Actor, wanted: Mapping[str, Any]) -> Network:
    """Raises Forbidden, BadRequest for an impossible segment or MTU, Conflict when the segment is taken."""
    require_act(actor, "create_network", SPEC, wanted, Target(wanted["project_id"]))
    segment = segments.choose(tx, wanted.get("network_type"), wanted.get("physnet"), wanted.get("segment"))
    most = segments.largest_mtu(tx.settings, segment.network_type)
    values = {**wanted, "network_type": segment.network_type, "physnet": segment.physnet, "segment": segment.id}
    values["mtu"] = _mtu(wanted["mtu"], most)
    require_policy(tx, actor, wanted["qos_policy_id"])
    network = Network(id=new_id(), created_at=tx.now, updated_at=tx.now, **values)
    try:
        tx.insert(network)
    except Taken as taken:
        raise segments.in_use(segment) from taken
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
    values = dict(wanted)
    if "mtu" in values:
        values["mtu"] = _mtu(values["mtu"], segments.largest_mtu(tx.settings, network.network_type))
        require_mtu_for(values["mtu"], tx.select(Subnet, {"network_id": id_}))
    if "qos_policy_id" in values:
        require_policy(tx, actor, values["qos_policy_id"], replaces=network.qos_policy_id)
    if network.external and values.get("external") is False:
        _require_no_external_use(tx, network)
    if network.shared and values.get("shared") is False:
        _require_no_strangers(tx, network)
    return tx.change(network, **values) if values else network


def delete_network(tx: Tx, actor: Actor, id_: str, expected_revision: int | None = None) -> None:
    """With its subnets. Raises NotFound, Forbidden, PreconditionFailed, and Conflict when ports are left."""
    network = NETWORKS.find(tx, actor, id_)
    require_act(actor, "delete_network", SPEC, {}, Target(network.project_id))
    require_revision(network, expected_revision)
    ports = tx.select(Port, {"network_id": id_})
    if ports:
        raise Conflict(
            f"Unable to complete operation on network {id_}. There are one or more ports still in use on the network, "
            f"id for these ports is: {','.join(port.id for port in ports)}.",
            "NetworkInUse",
        )
    for subnet in tx.select(Subnet, {"network_id": id_}):
        tx.delete(subnet)
    tx.delete(network)


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


def _require_no_external_use(tx: Tx, network: Network) -> None:
    routers = tx.select(Router, {"gateway_network_id": network.id}, limit=1)
    floating_ips = tx.select(FloatingIp, {"floating_network_id": network.id}, limit=1)
    if routers or floating_ips:
        raise Conflict(
            f"External network {network.id} cannot be updated to be made non-external, since it has existing gateway "
            "ports.",
            "ExternalNetworkInUse",
        )


def _require_no_strangers(tx: Tx, network: Network) -> None:
    """Gateways and floating IPs' ports belong to nobody: an external network is used by all without being shared."""
    owners = {port.project_id for port in tx.select(Port, {"network_id": network.id})} - {""}
    if owners - {network.project_id}:
        raise Conflict(
            f"Unable to reconfigure sharing settings for network {network.id}. Multiple tenants are using it.",
            "InvalidSharedSetting",
        )
