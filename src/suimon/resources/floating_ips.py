"""Floating IPs: addresses on an external network that stand for a port's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any, Final

from suimon.model.actor import Actor
from suimon.model.attributes import Target
from suimon.model.errors import BadRequest, Conflict, NotFound
from suimon.model.specs.ports import WantedIp
from suimon.model.specs.routers import FLOATING_IP as ATTRIBUTES
from suimon.model.things import FloatingIp, Port, Router, Subnet, Thing
from suimon.model.touches import FLOATING_IP, ROUTER_INTERFACE
from suimon.model.view import FixedIp
from suimon.resources.collection import VIEWER, Collection, require_revision
from suimon.resources.ids import new_id, new_mac
from suimon.resources.networks import NETWORKS
from suimon.resources.persona import RULES, require_act
from suimon.resources.ports import PORTS, make_ports, place_for, remove_port
from suimon.store.tables import FLOATING_IPS as TABLE
from suimon.store.tx import Tx

SPEC: Final = ATTRIBUTES.governed_by(RULES)
_DETAILS: Final = ("admin_state_up", "device_id", "device_owner", "mac_address", "name", "network_id", "status")
_DETACHED: Final = {"port_id": None, "fixed_ip_address": None, "router_id": None, "status": "DOWN"}


def _ports_of(tx: Tx, floating_ips: Sequence[Thing]) -> dict[str, dict[str, object]]:
    ids = {f.port_id for f in floating_ips if isinstance(f, FloatingIp) and f.port_id}
    ports = {port.id: port for port in tx.select(Port, {"id": ids})} if ids else {}
    shown: dict[str, dict[str, object]] = {}
    for floating_ip in floating_ips:
        port = ports.get(getattr(floating_ip, "port_id", None) or "")
        if port is not None:
            details = {name: getattr(port, name) for name in _DETAILS}
            shown[floating_ip.id] = {"port_details": details}
    return shown


FLOATING_IPS: Final = Collection(
    spec=SPEC,
    type=FloatingIp,
    not_found=("FloatingIPNotFound", "Floating IP {} could not be found"),
    visible=TABLE.c.project_id == VIEWER,
    attach=_ports_of,
)


def create_floating_ip(tx: Tx, actor: Actor, wanted: Mapping[str, Any]) -> FloatingIp:
    """Raises NotFound, Forbidden, BadRequest, Conflict."""
    require_act(actor, "create_floatingip", SPEC, wanted, Target(wanted["project_id"]))
    network = NETWORKS.find(tx, actor, wanted["floating_network_id"])
    if not network.external:
        raise _bad(f"Network {network.id} is not a valid external network")
    id_ = new_id()
    port = _floating_port(tx, id_, wanted)
    floating_ip = FloatingIp(
        id=id_,
        project_id=wanted["project_id"],
        description=wanted["description"],
        created_at=tx.now,
        updated_at=tx.now,
        floating_network_id=network.id,
        floating_ip_address=port.fixed_ips[0].ip,
        floating_port_id=port.id,
        **_association(tx, actor, wanted, id_, port),
    )
    tx.insert(floating_ip)
    return floating_ip


def create_floating_ips(tx: Tx, actor: Actor, wanted: Sequence[Mapping[str, Any]]) -> list[FloatingIp]:
    """All or none."""
    return [create_floating_ip(tx, actor, one) for one in wanted]


def update_floating_ip(
    tx: Tx, actor: Actor, id_: str, wanted: Mapping[str, Any], expected_revision: int | None = None
) -> FloatingIp:
    """A `port_id` of null detaches it. Raises NotFound, Forbidden, PreconditionFailed, BadRequest, Conflict."""
    floating_ip = FLOATING_IPS.find(tx, actor, id_)
    require_act(actor, "update_floatingip", SPEC, wanted, Target(floating_ip.project_id))
    require_revision(floating_ip, expected_revision)
    values = dict(wanted)
    if "port_id" in values or "fixed_ip_address" in values:
        asked = {"port_id": floating_ip.port_id, "project_id": floating_ip.project_id, **values}
        values.pop("fixed_ip_address", None)
        port = tx.get(Port, floating_ip.floating_port_id)
        assert port is not None
        values |= _association(tx, actor, asked, id_, port)
    return tx.change(floating_ip, **values)


def delete_floating_ip(tx: Tx, actor: Actor, id_: str, expected_revision: int | None = None) -> None:
    """Its address is free again. Raises NotFound, Forbidden, PreconditionFailed."""
    floating_ip = FLOATING_IPS.find(tx, actor, id_)
    require_act(actor, "delete_floatingip", SPEC, {}, Target(floating_ip.project_id))
    require_revision(floating_ip, expected_revision)
    port = tx.get(Port, floating_ip.floating_port_id)
    assert port is not None
    tx.delete(floating_ip)
    remove_port(tx, port)


def _bad(reason: str) -> BadRequest:
    return BadRequest(f"Bad floatingip request: {reason}.", "BadRequest")


def _floating_port(tx: Tx, id_: str, wanted: Mapping[str, Any]) -> Port:
    """The port that holds the address, which belongs to nobody. Raises BadRequest, Conflict."""
    place = place_for(tx, wanted["floating_network_id"])
    if not any(subnet.ip_version == 4 for one in place.values() for subnet in one.subnets):
        raise _bad(f"Network {wanted['floating_network_id']} does not contain any IPv4 subnet")
    wish: dict[str, Any] = {}
    if wanted["floating_ip_address"] or wanted["subnet_id"]:
        wish = {"fixed_ips": (WantedIp(wanted["subnet_id"], wanted["floating_ip_address"]),)}
    port = {
        "project_id": "",
        "network_id": wanted["floating_network_id"],
        "mac_address": new_mac(tx.settings.mac_prefix),
        "device_id": id_,
        "device_owner": FLOATING_IP,
        "port_security": False,
        **wish,
    }
    (made,) = make_ports(tx, place, [port])
    if ip_address(made.fixed_ips[0].ip).version != 4:
        raise _bad(f"Address {made.fixed_ips[0].ip} is not an IPv4 address")
    return made


def _association(tx: Tx, actor: Actor, wanted: Mapping[str, Any], id_: str, floating_port: Port) -> dict[str, Any]:
    """The port, its address and the router on the way to it. Raises NotFound, BadRequest, Conflict.

    A floating IP works when its port does: both are in the flows of the port's host.
    """
    if wanted["port_id"] is None:
        if wanted.get("fixed_ip_address"):
            raise _bad("fixed_ip_address cannot be specified without a port_id")
        return dict(_DETACHED)
    port = PORTS.find(tx, actor, wanted["port_id"])
    if port.project_id != wanted["project_id"] and not actor.admin:
        raise _bad(f"Port {port.id} is associated with a different tenant than Floating IP {id_} and cannot be bound")
    fixed = _fixed_ip(port, wanted.get("fixed_ip_address"))
    address, network_id = floating_port.fixed_ips[0].ip, floating_port.network_id
    twins = tx.select(FloatingIp, {"port_id": port.id, "fixed_ip_address": fixed.ip, "floating_network_id": network_id})
    if any(twin.id != id_ for twin in twins):
        raise Conflict(
            f"Cannot associate floating IP {address} ({id_}) with port {port.id} using fixed IP {fixed.ip}, as that "
            "fixed IP "
            f"already has a floating IP on external network {network_id}.",
            "FloatingIPPortAlreadyAssociated",
        )
    router = _router_between(tx, network_id, port, fixed)
    return {"port_id": port.id, "fixed_ip_address": fixed.ip, "router_id": router.id, "status": port.status}


def _fixed_ip(port: Port, ip: str | None) -> FixedIp:
    if ip is not None:
        for fixed in port.fixed_ips:
            if fixed.ip == ip:
                return fixed
        raise _bad(f"Port {port.id} does not have fixed ip {ip}")
    found = [fixed for fixed in port.fixed_ips if ip_address(fixed.ip).version == 4]
    if not found:
        raise _bad(f"Cannot add floating IP to port {port.id} that has no fixed IPv4 addresses")
    if len(found) > 1:
        raise _bad(
            f"Port {port.id} has multiple fixed IPv4 addresses.  Must provide a specific IPv4 address when assigning a "
            "floating IP"
        )
    return found[0]


def _router_between(tx: Tx, network_id: str, port: Port, fixed: FixedIp) -> Router:
    """The router between the port's subnet and the external network; the subnet's own gateway first."""
    legs = tx.select(
        Port, {"network_id": port.network_id, "device_owner": ROUTER_INTERFACE}, order=("created_at", "id")
    )
    near = [leg for leg in legs if any(own.subnet_id == fixed.subnet_id for own in leg.fixed_ips)]
    ids = {leg.device_id for leg in near}
    routers = tx.select(Router, {"id": ids, "gateway_network_id": network_id}) if ids else []
    if not routers:
        raise NotFound(
            f"External network {network_id} is not reachable from subnet {fixed.subnet_id}.  Therefore, cannot "
            "associate "
            f"Port {port.id} with a Floating IP.",
            "ExternalGatewayForFloatingIPNotFound",
        )
    subnet = tx.get(Subnet, fixed.subnet_id)
    gateway = subnet.gateway_ip if subnet else None
    first = [leg.device_id for leg in near if any(own.ip == gateway for own in leg.fixed_ips)]
    return min(routers, key=lambda router: (router.id not in first, router.created_at, router.id))
