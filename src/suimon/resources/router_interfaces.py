"""Interfaces of routers: ports that a router takes on the networks it joins."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from suimon.model.actor import Actor
from suimon.model.attributes import Target
from suimon.model.checks import Unfit, uuid
from suimon.model.errors import BadRequest, Conflict, NotFound
from suimon.model.specs.ports import WantedIp
from suimon.model.things import FloatingIp, Network, Port, Router, Subnet
from suimon.model.touches import ROUTER_INTERFACE
from suimon.resources import security_groups
from suimon.resources.ids import new_mac
from suimon.resources.persona import require
from suimon.resources.ports import PORTS, make_ports, place_for, remove_port
from suimon.resources.routers import ROUTERS, bad_router, interfaces, require_apart
from suimon.resources.subnets import SUBNETS
from suimon.store.tx import Tx


def add_router_interface(tx: Tx, actor: Actor, id_: str, body: object) -> dict[str, object]:
    """By `subnet_id` (a new port with the subnet's gateway address) or by `port_id` (a port that nobody uses yet).

    Raises NotFound, Forbidden, BadRequest for overlapping subnets, Conflict when the address or port is in use.
    """
    router = ROUTERS.find(tx, actor, id_)
    require(actor, "add_router_interface", Target(router.project_id))
    subnet_id, port_id = _asked(body)
    if subnet_id and port_id:
        raise bad_router("Cannot specify both subnet-id and port-id")
    port = _adopt(tx, actor, router, port_id) if port_id else _make(tx, actor, router, subnet_id or "")
    tx.change(router)
    return _answer(router, port)


def remove_router_interface(tx: Tx, actor: Actor, id_: str, body: object) -> dict[str, object]:
    """By `subnet_id`, `port_id` or both. Raises NotFound, Forbidden, BadRequest, Conflict while it is needed."""
    router = ROUTERS.find(tx, actor, id_)
    require(actor, "remove_router_interface", Target(router.project_id))
    port = _interface(tx, actor, router, *_asked(body))
    for fixed in port.fixed_ips:
        subnet = tx.get(Subnet, fixed.subnet_id)
        assert subnet is not None
        _require_unused(tx, router, subnet)
    remove_port(tx, port)
    tx.change(router)
    return _answer(router, port)


def _asked(body: object) -> tuple[str | None, str | None]:
    """The subnet's and the port's id. Raises BadRequest."""
    given: Mapping[str, Any] = body if isinstance(body, dict) else {}
    subnet_id, port_id = given.get("subnet_id"), given.get("port_id")
    if not subnet_id and not port_id:
        raise bad_router("Either subnet_id or port_id must be specified")
    for name, value in (("subnet_id", subnet_id), ("port_id", port_id)):
        try:
            if value:
                uuid(value)
        except Unfit as unfit:
            raise BadRequest(f"Invalid input for {name}. Reason: {unfit}.") from None
    return subnet_id, port_id


def _answer(router: Router, port: Port) -> dict[str, object]:
    subnet_ids = [fixed.subnet_id for fixed in port.fixed_ips]
    return {
        "id": router.id,
        "project_id": router.project_id,
        "tenant_id": router.project_id,
        "port_id": port.id,
        "network_id": port.network_id,
        "subnet_id": subnet_ids[0],
        "subnet_ids": subnet_ids,
    }


def _make(tx: Tx, actor: Actor, router: Router, subnet_id: str) -> Port:
    subnet = SUBNETS.find(tx, actor, subnet_id)
    if subnet.gateway_ip is None:
        raise bad_router("Subnet for router interface must have a gateway IP")
    network = tx.get(Network, subnet.network_id)
    assert network is not None
    # Who takes the gateway's address takes everybody's traffic: on a shared network that is its owner's to do.
    require(actor, "create_port:fixed_ips:ip_address", Target(router.project_id, network.project_id))
    require_apart(tx, router, [subnet])
    wanted = {
        "project_id": router.project_id,
        "network_id": network.id,
        "mac_address": new_mac(tx.settings.mac_prefix),
        "fixed_ips": (WantedIp(subnet.id, subnet.gateway_ip),),
        "device_id": router.id,
        "device_owner": ROUTER_INTERFACE,
        "port_security": False,
    }
    return make_ports(tx, place_for(tx, network.id), [wanted])[0]


def _adopt(tx: Tx, actor: Actor, router: Router, port_id: str) -> Port:
    port = PORTS.find(tx, actor, port_id)
    require(actor, "update_port", Target(port.project_id))
    network = tx.get(Network, port.network_id)
    assert network is not None
    if network.external:
        # Outside, a router has its gateway: by an interface a tenant would send there from any addresses it likes.
        require(actor, "update_port:device_owner:network", Target(port.project_id, network.project_id))
    if port.device_id or port.binding_host:
        raise Conflict(
            f"Unable to complete operation on port {port.id} for network {port.network_id}. Port already has an "
            f"attached device {port.device_id}.",
            "PortInUse",
        )
    if not port.fixed_ips:
        raise bad_router("Router port must have at least one fixed IP")
    subnets = tx.select(Subnet, {"id": {fixed.subnet_id for fixed in port.fixed_ips}})
    if sum(subnet.ip_version == 4 for subnet in subnets) > 1:
        raise bad_router("Cannot have multiple IPv4 subnets on router port")
    require_apart(tx, router, subnets)
    security_groups.leave(tx, port)
    return tx.change(
        port,
        device_id=router.id,
        device_owner=ROUTER_INTERFACE,
        security_groups=(),
        allowed_address_pairs=(),
        port_security=False,
    )


def _interface(tx: Tx, actor: Actor, router: Router, subnet_id: str | None, port_id: str | None) -> Port:
    legs = interfaces(tx, router.id)
    if port_id:
        found = [leg for leg in legs if leg.id == port_id]
        if not found:
            raise NotFound(
                f"Router {router.id} does not have an interface with id {port_id}", "RouterInterfaceNotFound"
            )
        if subnet_id and all(fixed.subnet_id != subnet_id for fixed in found[0].fixed_ips):
            raise BadRequest(
                f"Subnet on port {port_id} does not match the requested subnet {subnet_id}.", "SubnetMismatchForPort"
            )
        return found[0]
    subnet = SUBNETS.find(tx, actor, subnet_id or "")
    for leg in legs:
        if any(fixed.subnet_id == subnet.id for fixed in leg.fixed_ips):
            return leg
    raise NotFound(f"Router {router.id} has no interface on subnet {subnet.id}", "RouterInterfaceNotFoundForSubnet")


def _require_unused(tx: Tx, router: Router, subnet: Subnet) -> None:
    floating_ips = tx.select(FloatingIp, {"router_id": router.id})
    behind = tx.select(Port, {"id": {f.port_id for f in floating_ips if f.port_id}}) if floating_ips else []
    if any(fixed.subnet_id == subnet.id for port in behind for fixed in port.fixed_ips):
        raise _needed(router, subnet, "floating IPs", "RouterInterfaceInUseByFloatingIP")
    if any(ip_address(route.nexthop) in ip_network(subnet.cidr) for route in router.routes):
        raise _needed(router, subnet, "routes", "RouterInterfaceInUseByRoute")


def _needed(router: Router, subnet: Subnet, by: str, kind: str) -> Conflict:
    return Conflict(
        f"Router interface for subnet {subnet.id} on router {router.id} cannot be deleted, as it is required by one "
        "or more "
        f"{by}.",
        kind,
    )
