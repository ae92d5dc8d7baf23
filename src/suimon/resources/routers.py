"""Routers: their own values and their routes. Gateways are in `router_gateways`, interfaces in `router_interfaces`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import select

from suimon.model import checks
from suimon.model.actor import Actor
from suimon.model.attributes import Target
from suimon.model.errors import BadRequest, Conflict
from suimon.model.specs.networks import routes as routes_check
from suimon.model.specs.ports import show_fixed_ips
from suimon.model.specs.quotas import UNLIMITED
from suimon.model.specs.routers import ROUTER, WantedGateway
from suimon.model.things import ConntrackHelper, Router, Thing
from suimon.model.view import FixedIp, Route
from suimon.resources import ha_networks, router_gateways, router_legs
from suimon.resources.collection import VIEWER, Collection, Extra, require_revision
from suimon.resources.flavors import require_driver_allows
from suimon.resources.ids import new_id
from suimon.resources.networks import require_zones
from suimon.resources.persona import RULES, require, require_act
from suimon.resources.quotas import limit_of
from suimon.resources.router_gateways import clear_gateway, ipv6_scope, make_gateways, set_gateway
from suimon.resources.router_legs import bad_router, interfaces, legs, require_reachable
from suimon.store.tables import PORTS as PORT_TABLE
from suimon.store.tables import ROUTERS as TABLE
from suimon.store.tx import Tx

SPEC: Final = ROUTER.governed_by(RULES)
_GATEWAY_IPS: Final = select(PORT_TABLE.c.fixed_ips).where(PORT_TABLE.c.id == TABLE.c.gateway_port_id).scalar_subquery()
_FIXED_IPS: Final = msgspec.json.Decoder(tuple[FixedIp, ...])
_ROUTES: Final = checks.having(
    {"router": checks.having({"routes": checks.schema_of(routes_check)}, "routes")}, "router"
)
_NULL_IS_NOTHING: Final = ("ha", "distributed", "enable_ndp_proxy")


def _show_gateway(router: Router, fixed_ips: str | None) -> dict[str, object]:
    if router.gateway_network_id is None:
        return {"external_gateway_info": None}
    policy = {"qos_policy_id": router.gateway_qos_policy_id} if router.gateway_qos_policy_id else {}
    return {
        "external_gateway_info": {
            "network_id": router.gateway_network_id,
            "enable_snat": router.enable_snat,
            "external_fixed_ips": show_fixed_ips(_FIXED_IPS.decode(fixed_ips or "[]")),
            **policy,
        }
    }


def _conntrack_of(tx: Tx, routers: Sequence[Thing]) -> dict[str, dict[str, object]]:
    shown: dict[str, list[dict[str, object]]] = {router.id: [] for router in routers}
    for one in tx.select(ConntrackHelper, {"router_id": list(shown)}, order=("created_at", "id")):
        shown[one.router_id].append({"protocol": one.protocol, "port": one.l4_port, "helper": one.module})
    return {id_: {"conntrack_helpers": told} for id_, told in shown.items()}


ROUTERS: Final = Collection(
    spec=SPEC,
    type=Router,
    not_found=("RouterNotFound", "Router {} could not be found"),
    visible=TABLE.c.project_id == VIEWER,
    extras=(Extra(_GATEWAY_IPS, _show_gateway),),
    attach=_conntrack_of,
)


def create_routers(tx: Tx, actor: Actor, wanted: Sequence[Mapping[str, Any]]) -> list[Router]:
    """All or none. Raises NotFound, Forbidden, BadRequest, Conflict when a gateway gets no address."""
    routers, gateways = [], []
    for one in wanted:
        require_act(actor, "create_router", SPEC, one, Target(one["project_id"]))
        require_zones(tx, one["availability_zone_hints"])
        values = _said(one)
        gateway: WantedGateway | None = values.pop("external_gateway_info")
        values.pop("routes", None)
        router = Router(id=new_id(), created_at=tx.now, updated_at=tx.now, **values)
        if router.enable_ndp_proxy:
            _require_gateway_for_ndp(tx, router, gateway)
        routers.append(router)
        gateways.append(gateway)
    _require_flavors(tx, wanted)
    asked = [(router, gateway) for router, gateway in zip(routers, gateways, strict=True) if gateway]
    outside = dict(zip((router.id for router, _ in asked), make_gateways(tx, actor, asked), strict=True))
    routers = [msgspec.structs.replace(router, **outside.get(router.id, {})) for router in routers]
    tx.insert_many(routers)
    ha_networks.keep(tx, {router.project_id for router in routers if router.ha})
    return routers


def update_router(
    tx: Tx, actor: Actor, id_: str, wanted: Mapping[str, Any], expected_revision: int | None = None
) -> Router:
    """Raises NotFound, Forbidden, PreconditionFailed, BadRequest, Conflict while floating IPs need the gateway."""
    router = ROUTERS.find(tx, actor, id_)
    require_act(actor, "update_router", SPEC, wanted, Target(router.project_id))
    require_revision(router, expected_revision)
    values = _said(wanted)
    _require_down_to_migrate(router, values)
    new_gateway = "external_gateway_info" in values
    if new_gateway:
        gateway: WantedGateway | None = values.pop("external_gateway_info")
        told = set_gateway(tx, actor, router, gateway) if gateway else clear_gateway(tx, router)
        values = {**told, **values}
    if not values:
        return router
    after = msgspec.structs.replace(router, **values)
    if "routes" in values:
        _require_quota(tx, router, after.routes)
    if "routes" in values or (new_gateway and after.routes):
        require_reachable(after.routes, legs(tx, id_))
    if values.get("enable_ndp_proxy"):
        _require_ndp_possible(tx, after)
    changed = tx.change(router, **values)
    if changed.admin_state_up != router.admin_state_up:
        router_legs.set_status(tx, changed)
    if changed.ha != router.ha:
        ha_networks.keep(tx, {router.project_id})
    return changed


def delete_router(tx: Tx, actor: Actor, id_: str, expected_revision: int | None = None) -> None:
    """With its gateway. Raises NotFound, Forbidden, PreconditionFailed, Conflict while it has interfaces."""
    router = ROUTERS.find(tx, actor, id_)
    require_act(actor, "delete_router", SPEC, {}, Target(router.project_id))
    require_revision(router, expected_revision)
    joined = interfaces(tx, id_)
    if joined:
        raise Conflict(f"Router {id_} has ports still attached: {', '.join(leg.id for leg in joined)}", "RouterInUse")
    clear_gateway(tx, router)
    tx.delete_many(tx.select(ConntrackHelper, {"router_id": id_}))
    tx.delete(router)
    if router.ha:
        ha_networks.keep(tx, {router.project_id})


@checks.takes(_ROUTES)
def add_extraroutes(tx: Tx, actor: Actor, id_: str, body: object) -> dict[str, object]:
    """Routes besides those that are there. The answer is the router."""
    router, routes = _extraroutes(tx, actor, id_, body, "add_extraroutes")
    new = (*router.routes, *(route for route in routes if route not in router.routes))
    return _with_routes(tx, actor, router, new)


@checks.takes(_ROUTES)
def remove_extraroutes(tx: Tx, actor: Actor, id_: str, body: object) -> dict[str, object]:
    """Without these routes; one that isn't there is as good as removed. The answer is the router."""
    router, routes = _extraroutes(tx, actor, id_, body, "remove_extraroutes")
    return _with_routes(tx, actor, router, tuple(route for route in router.routes if route not in routes))


def _said(wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in wanted.items() if value is not None or name not in _NULL_IS_NOTHING}


def _require_flavors(tx: Tx, wanted: Sequence[Mapping[str, Any]]) -> None:
    for flavor_id in {one["flavor_id"] for one in wanted if one["flavor_id"]}:
        flags = [_said(one) for one in wanted if one["flavor_id"] == flavor_id]
        require_driver_allows(tx, flavor_id, flags)


def _require_down_to_migrate(router: Router, values: Mapping[str, Any]) -> None:
    """Raises BadRequest. To `distributed` the router has to be down before, to `ha` with the same request at last."""
    flags = {name: getattr(router, name) for name in ("distributed", "ha")}
    changes = {name for name, value in flags.items() if values.get(name, value) != value}
    if changes and router.flavor_id:
        raise checks.invalid(
            "Changing the 'ha' and 'distributed' attributes on a router associated with a flavor is not supported"
        )
    up = values.get("admin_state_up", router.admin_state_up)
    if "distributed" in changes and (up or router.admin_state_up):
        raise bad_router(
            "Cannot change the 'distributed' attribute of active routers. Please set router admin_state_up to False "
            "prior to upgrade"
        )
    if "ha" in changes and up:
        raise bad_router(
            "Cannot change HA attribute of active routers. Please set router admin_state_up to False prior to upgrade"
        )


def _require_gateway_for_ndp(tx: Tx, router: Router, gateway: WantedGateway | None) -> None:
    if gateway is None:
        raise _no_ndp(router, "The request body not contain external gateway information")
    if ipv6_scope(tx, gateway.network_id) is None:
        raise _no_ndp(
            router,
            f"The external network {gateway.network_id} don't support IPv6 ndp proxy, the network has no IPv6 subnets "
            "or has no IPv6 address scope",
        )


def _require_ndp_possible(tx: Tx, router: Router) -> None:
    ips = router_gateways.addresses(tx, router)
    if not any(":" in ip for ip in ips) or ipv6_scope(tx, router.gateway_network_id or "") is None:
        raise _no_ndp(
            router,
            "The router has no external gateway or the external gateway port has no IPv6 address or IPv6 address scope",
        )


def _no_ndp(router: Router, reason: str) -> Conflict:
    return Conflict(f"Can not enable ndp proxy on router {router.id}, {reason}.", "RouterGatewayNotValid")


def _require_quota(tx: Tx, router: Router, routes: Sequence[Route]) -> None:
    """Each router may have as many."""
    most = limit_of(tx, router.project_id, "router_route")
    if UNLIMITED != most < len(routes):
        raise Conflict("Quota exceeded for resources: ['router_route'].", "OverQuota")


def _extraroutes(tx: Tx, actor: Actor, id_: str, body: object, act: str) -> tuple[Router, tuple[Route, ...]]:
    router = ROUTERS.find(tx, actor, id_)
    require(actor, act, Target(router.project_id))
    given, many = SPEC.unwrap(body)
    if many or set(given[0]) != {"routes"}:
        raise BadRequest("Only 'routes' can be given here.", "InvalidInput")
    return router, SPEC.for_update(given[0], actor)["routes"]


def _with_routes(tx: Tx, actor: Actor, router: Router, routes: tuple[Route, ...]) -> dict[str, object]:
    _require_quota(tx, router, routes)
    require_reachable(routes, legs(tx, router.id))
    changed = tx.change(router, routes=routes) if routes != router.routes else router
    return {SPEC.singular: SPEC.render(ROUTERS.shown(tx, [changed])[0], actor)}
