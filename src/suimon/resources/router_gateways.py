"""The leg of a router on an external network: made, moved, replaced and taken away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import bindparam, select

from suimon.model.actor import Actor
from suimon.model.attributes import UNGIVEN, Target
from suimon.model.errors import Conflict
from suimon.model.specs.routers import WantedGateway
from suimon.model.things import FloatingIp, NdpProxy, Port, Router
from suimon.model.touches import ROUTER_GATEWAY
from suimon.resources import router_legs
from suimon.resources.ids import new_mac
from suimon.resources.networks import NETWORKS
from suimon.resources.persona import require
from suimon.resources.port_addresses import Place
from suimon.resources.ports import make_ports, move_port, place_for, remove_port
from suimon.resources.qos import require_policy
from suimon.resources.router_legs import bad_router, legs, require_apart
from suimon.store.tables import SUBNET_POOLS, SUBNETS
from suimon.store.tx import Tx

_IPV6_SCOPES: Final = (
    select(SUBNET_POOLS.c.address_scope_id)
    .join(SUBNETS, SUBNETS.c.subnetpool_id == SUBNET_POOLS.c.id)
    .where(
        SUBNETS.c.network_id == bindparam("network_id"),
        SUBNETS.c.ip_version == 6,
        SUBNET_POOLS.c.address_scope_id.is_not(None),
    )
    .limit(1)
)
_GONE: Final = {
    "gateway_network_id": None,
    "gateway_port_id": None,
    "enable_snat": True,
    "gateway_qos_policy_id": None,
    "enable_ndp_proxy": False,
}


def make_gateways(tx: Tx, actor: Actor, asked: Sequence[tuple[Router, WantedGateway]]) -> list[dict[str, Any]]:
    """Gateways of routers that have no port yet, and the values that each router gets with its own.

    Raises NotFound, Forbidden, BadRequest, Conflict when there is no address.
    """
    places: dict[str, Place] = {}
    for router, wanted in asked:
        _require_may(tx, actor, "create_router", router, wanted)
        if wanted.network_id not in places:
            places |= _outside(tx, actor, wanted.network_id)
        _require_own_address(places[wanted.network_id], wanted)
    made = make_ports(tx, places, [_port(tx, router, wanted) for router, wanted in asked]) if asked else []
    return [{**_values(wanted), "gateway_port_id": port.id} for (_, wanted), port in zip(asked, made, strict=True)]


def set_gateway(tx: Tx, actor: Actor, router: Router, wanted: WantedGateway) -> dict[str, Any]:
    """The router's new values; it keeps its port while the network stays the same.

    Raises NotFound, Forbidden, BadRequest, Conflict.
    """
    _require_may(tx, actor, "update_router", router, wanted)
    if wanted.network_id == router.gateway_network_id:
        _move(tx, router, wanted)
        return _values(wanted)
    (place,) = _outside(tx, actor, wanted.network_id).values()
    _require_own_address(place, wanted)
    left = clear_gateway(tx, router)
    require_apart([leg for leg in legs(tx, router.id) if not leg.gateway], place.subnets)
    (port,) = make_ports(tx, {wanted.network_id: place}, [_port(tx, router, wanted)])
    if wanted.qos_policy_id is UNGIVEN:
        left.pop("gateway_qos_policy_id", None)
    return {**left, **_values(wanted), "gateway_port_id": port.id}


def clear_gateway(tx: Tx, router: Router) -> dict[str, Any]:
    """The router's new values; none when it has no gateway. Raises Conflict while somebody needs it."""
    if router.gateway_port_id is None:
        return {}
    if tx.select(FloatingIp, {"router_id": router.id}, limit=1):
        raise Conflict(
            f"Gateway cannot be updated for router {router.id}, since a gateway to external network "
            f"{router.gateway_network_id} is required by one or more floating IPs.",
            "RouterExternalGatewayInUseByFloatingIp",
        )
    if tx.select(NdpProxy, {"router_id": router.id}, limit=1):
        raise Conflict(
            f"Unable to unset external gateway of router {router.id}, There are one or more ndp proxies still in use "
            "on the router.",
            "RouterGatewayInUseByNDPProxy",
        )
    port = tx.get(Port, router.gateway_port_id)
    assert port is not None
    remove_port(tx, port)
    return dict(_GONE)


def ipv6_scope(tx: Tx, network_id: str) -> str | None:
    """The address scope of a network's IPv6 subnets."""
    found = tx.rows(_IPV6_SCOPES, {"network_id": network_id})
    return found[0][0] if found else None


def addresses(tx: Tx, router: Router) -> list[str]:
    """Those of its gateway; none when it has none."""
    port = tx.get(Port, router.gateway_port_id) if router.gateway_port_id else None
    return [fixed.ip for fixed in port.fixed_ips] if port else []


def _require_may(tx: Tx, actor: Actor, act: str, router: Router, wanted: WantedGateway) -> None:
    target = Target(router.project_id)
    if wanted.enable_snat is not UNGIVEN:
        require(actor, f"{act}:external_gateway_info:enable_snat", target)
    if wanted.fixed_ips is not UNGIVEN:
        require(actor, f"{act}:external_gateway_info:external_fixed_ips", target)
    if isinstance(wanted.qos_policy_id, str):
        require_policy(tx, actor, wanted.qos_policy_id)


def _outside(tx: Tx, actor: Actor, network_id: str) -> dict[str, Place]:
    network = NETWORKS.find(tx, actor, network_id)
    if not network.external:
        raise bad_router(f"Network {network_id} is not an external network")
    return place_for(tx, network_id)


def _require_own_address(place: Place, wanted: WantedGateway) -> None:
    """Raises BadRequest for the address of the network's own gateway."""
    gateways = {subnet.gateway_ip for subnet in place.subnets if subnet.gateway_ip}
    for wish in () if wanted.fixed_ips is UNGIVEN else wanted.fixed_ips:
        if wish.ip in gateways:
            raise bad_router(f"External IP {wish.ip} is the same as the gateway IP")


def _port(tx: Tx, router: Router, wanted: WantedGateway) -> dict[str, Any]:
    """The port, which belongs to nobody: tenants don't see it."""
    return {
        "project_id": "",
        "network_id": wanted.network_id,
        "mac_address": new_mac(tx.settings.mac_prefix),
        "device_id": router.id,
        "device_owner": ROUTER_GATEWAY,
        "port_security": False,
        "status": router_legs.status(router),
        **({} if wanted.fixed_ips is UNGIVEN else {"fixed_ips": wanted.fixed_ips}),
    }


def _values(wanted: WantedGateway) -> dict[str, Any]:
    """Source NAT is on again unless it is switched off again, as in Neutron."""
    policy = {} if wanted.qos_policy_id is UNGIVEN else {"gateway_qos_policy_id": wanted.qos_policy_id}
    snat = True if wanted.enable_snat is UNGIVEN else wanted.enable_snat
    return {"gateway_network_id": wanted.network_id, "enable_snat": snat, **policy}


def _move(tx: Tx, router: Router, wanted: WantedGateway) -> None:
    if wanted.fixed_ips is UNGIVEN:
        return
    _require_own_address(place_for(tx, wanted.network_id)[wanted.network_id], wanted)
    port = tx.get(Port, router.gateway_port_id or "")
    assert port is not None
    moved = move_port(tx, port, wanted.fixed_ips)
    if router.enable_ndp_proxy and not any(":" in fixed.ip for fixed in moved.fixed_ips):
        raise Conflict(
            f"Can't remove the IPv6 subnet from external gateway of router {router.id}, the IPv6 subnet in use by the "
            "router's ndp proxy.",
            "RouterIPv6GatewayInUse",
        )
