"""NDP proxies: IPv6 addresses behind a router that the network outside may ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from suimon.model.actor import Actor
from suimon.model.attributes import Target
from suimon.model.errors import BadRequest, Conflict
from suimon.model.specs.ndp_proxies import NDP_PROXY
from suimon.model.things import NdpProxy, Port, Router
from suimon.model.view import FixedIp
from suimon.resources.collection import VIEWER, Collection, require_revision
from suimon.resources.ids import new_id
from suimon.resources.persona import RULES, require_act
from suimon.resources.ports import PORTS
from suimon.resources.router_gateways import ipv6_scope
from suimon.resources.router_legs import Leg, legs
from suimon.resources.routers import ROUTERS
from suimon.store.tables import NDP_PROXIES as TABLE
from suimon.store.tx import Tx

SPEC: Final = NDP_PROXY.governed_by(RULES)
NDP_PROXIES: Final = Collection(
    spec=SPEC,
    type=NdpProxy,
    not_found=("NDPProxyNotFound", "Ndp proxy {} could not be found."),
    visible=TABLE.c.project_id == VIEWER,
)


def create_proxies(tx: Tx, actor: Actor, wanted: Sequence[Mapping[str, Any]]) -> list[NdpProxy]:
    """All or none."""
    return [create_proxy(tx, actor, one) for one in wanted]


def create_proxy(tx: Tx, actor: Actor, wanted: Mapping[str, Any]) -> NdpProxy:
    """Raises NotFound, Forbidden, BadRequest for an address that isn't the port's, Conflict when the router doesn't
    proxy, doesn't reach the port, or is in another address scope outside than inside.
    """
    require_act(actor, "create_ndp_proxy", SPEC, wanted, Target(wanted["project_id"]))
    port = PORTS.find(tx, actor, wanted["port_id"])
    router = ROUTERS.find(tx, actor, wanted["router_id"])
    near = [leg for leg in legs(tx, router.id) if leg.port.network_id == port.network_id]
    if not near:
        raise _unreachable(port, router)
    if not router.enable_ndp_proxy:
        raise Conflict(
            f"The enable_ndp_proxy parameter of router {router.id} must be set as True while create ndp proxy entry on "
            "it.",
            "RouterNDPProxyNotEnable",
        )
    address = _address(port, router, near, wanted["ip_address"])
    outside, inside = ipv6_scope(tx, router.gateway_network_id or ""), ipv6_scope(tx, port.network_id)
    if outside != inside:
        raise Conflict(
            f"The IPv6 address scope {outside} of external network conflict with internal network's IPv6 address scope "
            f"{inside}.",
            "AddressScopeConflict",
        )
    proxy = NdpProxy(id=new_id(), created_at=tx.now, updated_at=tx.now, **{**wanted, "ip_address": address})
    tx.insert(proxy)
    return proxy


def update_proxy(
    tx: Tx, actor: Actor, id_: str, wanted: Mapping[str, Any], expected_revision: int | None = None
) -> NdpProxy:
    """Raises NotFound, Forbidden, PreconditionFailed."""
    proxy = NDP_PROXIES.find(tx, actor, id_)
    require_act(actor, "update_ndp_proxy", SPEC, wanted, Target(proxy.project_id))
    require_revision(proxy, expected_revision)
    return tx.change(proxy, **wanted) if wanted else proxy


def delete_proxy(tx: Tx, actor: Actor, id_: str, expected_revision: int | None = None) -> None:
    """Raises NotFound, Forbidden, PreconditionFailed."""
    proxy = NDP_PROXIES.find(tx, actor, id_)
    require_act(actor, "delete_ndp_proxy", SPEC, {}, Target(proxy.project_id))
    require_revision(proxy, expected_revision)
    tx.delete(proxy)


def _address(port: Port, router: Router, near: Sequence[Leg], asked: str | None) -> str:
    own = _ipv6(port)
    if not own:
        raise BadRequest(
            f"Bad ndp_proxy request: Requested port {port.id} must allocate one IPv6 address at least.", "BadRequest"
        )
    joined = {fixed.subnet_id for leg in near for fixed in _ipv6(leg.port)}
    if asked is None:
        for fixed in own:
            if fixed.subnet_id in joined:
                return fixed.ip
        raise _unreachable(port, router)
    meant = [fixed for fixed in own if fixed.ip == asked]
    if not meant:
        raise _invalid(asked, f"This address not belong to the port {port.id}")
    if meant[0].subnet_id not in joined:
        raise _invalid(asked, f"This address cannot reach the router {router.id}")
    return asked


def _ipv6(port: Port) -> list[FixedIp]:
    return [fixed for fixed in port.fixed_ips if ":" in fixed.ip]


def _invalid(address: str, reason: str) -> BadRequest:
    return BadRequest(f"The address {address} is invalid, reason: {reason}.", "InvalidAddress")


def _unreachable(port: Port, router: Router) -> Conflict:
    return Conflict(f"The port {port.id} cannot reach the router {router.id} by IPv6 subnet.", "PortUnreachableRouter")
