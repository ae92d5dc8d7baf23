"""Routers: their own values, their gateway and their routes. Interfaces are in `router_interfaces`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any, Final

import msgspec
from sqlalchemy import select

from suimon.model.actor import Actor
from suimon.model.attributes import UNGIVEN, Target
from suimon.model.errors import BadRequest, Conflict
from suimon.model.specs.networks import show_routes
from suimon.model.specs.ports import show_fixed_ips
from suimon.model.specs.routers import MAX_ROUTES, ROUTER, WantedGateway
from suimon.model.things import FloatingIp, Port, Router, Subnet
from suimon.model.touches import ROUTER_GATEWAY, ROUTER_INTERFACE, ROUTER_PORTS
from suimon.model.view import FixedIp, Route
from suimon.resources.collection import VIEWER, Collection, Extra, require_revision
from suimon.resources.ids import new_id, new_mac
from suimon.resources.networks import NETWORKS
from suimon.resources.persona import RULES, require, require_act
from suimon.resources.ports import make_ports, move_port, place_for, remove_port
from suimon.store.tables import PORTS as PORT_TABLE
from suimon.store.tables import ROUTERS as TABLE
from suimon.store.tx import Tx

SPEC: Final = ROUTER.governed_by(RULES)
_GATEWAY_IPS: Final = select(PORT_TABLE.c.fixed_ips).where(PORT_TABLE.c.id == TABLE.c.gateway_port_id).scalar_subquery()
_FIXED_IPS: Final = msgspec.json.Decoder(tuple[FixedIp, ...])


def _show_gateway(router: Router, fixed_ips: str | None) -> dict[str, object]:
    if router.gateway_network_id is None:
        return {"external_gateway_info": None}
    return {
        "external_gateway_info": {
            "network_id": router.gateway_network_id,
            "enable_snat": router.enable_snat,
            "external_fixed_ips": show_fixed_ips(_FIXED_IPS.decode(fixed_ips or "[]")),
        }
    }


ROUTERS: Final = Collection(
    spec=SPEC,
    type=Router,
    not_found=("RouterNotFound", "Router {} could not be found"),
    visible=TABLE.c.project_id == VIEWER,
    extras=(Extra(_GATEWAY_IPS, _show_gateway),),
)


def create_router(tx: Tx, actor: Actor, wanted: Mapping[str, Any]) -> Router:
    """Raises NotFound, Forbidden, BadRequest, Conflict when the gateway gets no address."""
    require_act(actor, "create_router", SPEC, wanted, Target(wanted["project_id"]))
    gateway = wanted["external_gateway_info"]
    values = {name: value for name, value in wanted.items() if name not in ("external_gateway_info", "routes")}
    router = Router(id=new_id(), created_at=tx.now, updated_at=tx.now, **values)
    tx.insert(router)
    if gateway is None:
        return router
    return tx.change(router, **_set_gateway(tx, actor, router, gateway))


def create_routers(tx: Tx, actor: Actor, wanted: Sequence[Mapping[str, Any]]) -> list[Router]:
    """All or none."""
    return [create_router(tx, actor, one) for one in wanted]


def update_router(
    tx: Tx, actor: Actor, id_: str, wanted: Mapping[str, Any], expected_revision: int | None = None
) -> Router:
    """Raises NotFound, Forbidden, PreconditionFailed, BadRequest, Conflict while floating IPs need the gateway."""
    router = ROUTERS.find(tx, actor, id_)
    require_act(actor, "update_router", SPEC, wanted, Target(router.project_id))
    require_revision(router, expected_revision)
    values = dict(wanted)
    if "external_gateway_info" in values:
        gateway: WantedGateway | None = values.pop("external_gateway_info")
        values |= _set_gateway(tx, actor, router, gateway) if gateway else _clear_gateway(tx, router)
    if not values:
        return router
    if "routes" in values:
        gateway_port_id = values.get("gateway_port_id", router.gateway_port_id)
        _require_reachable(tx, router, values["routes"], gateway_port_id)
    return tx.change(router, **values)


def delete_router(tx: Tx, actor: Actor, id_: str, expected_revision: int | None = None) -> None:
    """With its gateway. Raises NotFound, Forbidden, PreconditionFailed, Conflict while it has interfaces."""
    router = ROUTERS.find(tx, actor, id_)
    require_act(actor, "delete_router", SPEC, {}, Target(router.project_id))
    require_revision(router, expected_revision)
    legs = interfaces(tx, id_)
    if legs:
        raise Conflict(f"Router {id_} has ports still attached: {', '.join(leg.id for leg in legs)}", "RouterInUse")
    _clear_gateway(tx, router)
    tx.delete(router)


def add_extraroutes(tx: Tx, actor: Actor, id_: str, body: object) -> dict[str, object]:
    """Routes besides those that are there. The answer is the router."""
    router, routes = _extraroutes(tx, actor, id_, body, "add_extraroutes")
    new = (*router.routes, *(route for route in routes if route not in router.routes))
    return _with_routes(tx, actor, router, new)


def remove_extraroutes(tx: Tx, actor: Actor, id_: str, body: object) -> dict[str, object]:
    """Without these routes; one that isn't there is as good as removed. The answer is the router."""
    router, routes = _extraroutes(tx, actor, id_, body, "remove_extraroutes")
    return _with_routes(tx, actor, router, tuple(route for route in router.routes if route not in routes))


def interfaces(tx: Tx, router_id: str) -> list[Port]:
    """The router's ports on the networks that it joins."""
    return tx.select(Port, {"device_id": router_id, "device_owner": ROUTER_INTERFACE}, order=("created_at", "id"))


def require_apart(tx: Tx, router: Router, subnets: Sequence[Subnet]) -> None:
    """A router can't tell overlapping subnets apart. Raises BadRequest when one meets a subnet it is on."""
    for other in _subnets_of(tx, tx.select(Port, {"device_id": router.id, "device_owner": ROUTER_PORTS})):
        for subnet in subnets:
            if other.id == subnet.id:
                raise bad_router(f"Router already has a port on subnet {subnet.id}")
            if other.ip_version == subnet.ip_version and _overlap(other, subnet):
                raise bad_router(
                    f"Cidr {subnet.cidr} of subnet {subnet.id} overlaps with cidr {other.cidr} of subnet {other.id}"
                )


def bad_router(reason: str) -> BadRequest:
    """Neutron's words for a request that makes no sense for a router."""
    return BadRequest(f"Bad router request: {reason}.", "BadRequest")


def _overlap(one: Subnet, other: Subnet) -> bool:
    return ip_network(one.cidr).overlaps(ip_network(other.cidr))


def _subnets_of(tx: Tx, ports: Sequence[Port]) -> list[Subnet]:
    ids = {fixed.subnet_id for port in ports for fixed in port.fixed_ips}
    return tx.select(Subnet, {"id": ids}) if ids else []


def _set_gateway(tx: Tx, actor: Actor, router: Router, wanted: WantedGateway) -> dict[str, Any]:
    """The router's new values. Raises NotFound, Forbidden, BadRequest, Conflict."""
    target = Target(router.project_id)
    act = "update_router:external_gateway_info" if router.gateway_network_id else "create_router:external_gateway_info"
    if wanted.enable_snat is not UNGIVEN and wanted.enable_snat != router.enable_snat:
        require(actor, f"{act}:enable_snat", target)
    if wanted.fixed_ips is not UNGIVEN:
        require(actor, f"{act}:external_fixed_ips", target)
    snat = router.enable_snat if wanted.enable_snat is UNGIVEN else wanted.enable_snat
    if wanted.network_id == router.gateway_network_id:
        _move_gateway(tx, router, wanted)
        return {"enable_snat": snat}
    network = NETWORKS.find(tx, actor, wanted.network_id)
    if not network.external:
        raise bad_router(f"Network {network.id} is not an external network")
    _clear_gateway(tx, router)
    require_apart(tx, router, tx.select(Subnet, {"network_id": network.id}))
    (port,) = make_ports(
        tx,
        place_for(tx, network.id),
        [
            {
                "project_id": "",
                "network_id": network.id,
                "mac_address": new_mac(tx.settings.mac_prefix),
                "device_id": router.id,
                "device_owner": ROUTER_GATEWAY,
                "port_security": False,
                **({} if wanted.fixed_ips is UNGIVEN else {"fixed_ips": wanted.fixed_ips}),
            }
        ],
    )
    return {"gateway_network_id": network.id, "gateway_port_id": port.id, "enable_snat": snat}


def _move_gateway(tx: Tx, router: Router, wanted: WantedGateway) -> None:
    if wanted.fixed_ips is not UNGIVEN:
        port = tx.get(Port, router.gateway_port_id or "")
        assert port is not None
        move_port(tx, port, wanted.fixed_ips)


def _clear_gateway(tx: Tx, router: Router) -> dict[str, Any]:
    if router.gateway_port_id is None:
        return {}
    if tx.select(FloatingIp, {"router_id": router.id}, limit=1):
        raise Conflict(
            f"Gateway cannot be updated for router {router.id}, since a gateway to external network "
            f"{router.gateway_network_id} is required by one or more floating IPs.",
            "RouterExternalGatewayInUseByFloatingIp",
        )
    port = tx.get(Port, router.gateway_port_id)
    assert port is not None
    remove_port(tx, port)
    return {"gateway_network_id": None, "gateway_port_id": None, "enable_snat": True}


def _require_reachable(tx: Tx, router: Router, routes: Sequence[Route], gateway_port_id: str | None) -> None:
    """Raises BadRequest for a next hop that is on none of the router's subnets, is the router itself, or is of another
    IP version than what it leads to.
    """
    if len(routes) > MAX_ROUTES:
        raise BadRequest(
            f"Unable to complete operation for {router.id}. The number of routes exceeds the maximum {MAX_ROUTES}.",
            "RoutesExhausted",
        )
    legs = interfaces(tx, router.id)
    gateway = tx.get(Port, gateway_port_id) if gateway_port_id else None
    legs += [gateway] if gateway else []
    cidrs = [ip_network(subnet.cidr) for subnet in _subnets_of(tx, legs)]
    own = {fixed.ip for leg in legs for fixed in leg.fixed_ips}
    for route in routes:
        if ip_address(route.nexthop).version != ip_network(route.destination).version:
            raise _invalid_routes(routes, "the nexthop and the destination are of different IP versions")
        if not any(ip_address(route.nexthop) in cidr for cidr in cidrs):
            raise _invalid_routes(routes, "the nexthop is not connected with router")
        if route.nexthop in own:
            raise _invalid_routes(routes, "the nexthop is used by router")


def _invalid_routes(routes: Sequence[Route], reason: str) -> BadRequest:
    return BadRequest(f"Invalid format for routes: {show_routes(routes)}, {reason}", "InvalidRoutes")


def _extraroutes(tx: Tx, actor: Actor, id_: str, body: object, act: str) -> tuple[Router, tuple[Route, ...]]:
    router = ROUTERS.find(tx, actor, id_)
    require(actor, act, Target(router.project_id))
    given, many = SPEC.unwrap(body)
    if many or set(given[0]) != {"routes"}:
        raise BadRequest("Only 'routes' can be given here.", "InvalidInput")
    return router, SPEC.for_update(given[0], actor)["routes"]


def _with_routes(tx: Tx, actor: Actor, router: Router, routes: tuple[Route, ...]) -> dict[str, object]:
    _require_reachable(tx, router, routes, router.gateway_port_id)
    changed = tx.change(router, routes=routes) if routes != router.routes else router
    return {SPEC.singular: SPEC.render(ROUTERS.shown(tx, [changed])[0], actor)}
