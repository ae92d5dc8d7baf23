"""Floating IPs: addresses on an external network that stand for a port's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any, Final

import msgspec
from sqlalchemy import select

from suimon.model.actor import Actor
from suimon.model.attributes import Shown, Target
from suimon.model.errors import BadRequest, Conflict
from suimon.model.specs.ports import WantedIp
from suimon.model.specs.routers import FLOATING_IP as ATTRIBUTES
from suimon.model.specs.routers import FLOATING_IP_POOL
from suimon.model.things import FloatingIp, FloatingIpPool, Port, PortForwarding, Thing
from suimon.model.touches import FLOATING_IP
from suimon.resources.collection import VIEWER, Collection, Extra, require_revision
from suimon.resources.floating_ways import Wish, ways
from suimon.resources.ids import new_id, new_mac
from suimon.resources.networks import NETWORKS
from suimon.resources.persona import RULES, require_act
from suimon.resources.port_addresses import Place
from suimon.resources.ports import make_ports, place_for, remove_port
from suimon.resources.qos import require_policy
from suimon.store.tables import FLOATING_IPS as TABLE
from suimon.store.tables import NETWORKS as NETWORK_TABLE
from suimon.store.tables import SUBNETS as SUBNET_TABLE
from suimon.store.tx import Tx

SPEC: Final = ATTRIBUTES.governed_by(RULES)
POOL_SPEC: Final = FLOATING_IP_POOL.governed_by(RULES)
NOT_APPLICABLE: Final = "N/A"
"""The status of a port that only holds an address."""
_DETAILS: Final = ("admin_state_up", "device_id", "device_owner", "mac_address", "name", "network_id", "status")
_DETACHED: Final = {"port_id": None, "fixed_ip_address": None, "holder_id": None, "status": "DOWN"}
_POOLS: Final = (
    select(SUBNET_TABLE.c.id, SUBNET_TABLE.c.name, SUBNET_TABLE.c.network_id, SUBNET_TABLE.c.cidr)
    .join(NETWORK_TABLE, NETWORK_TABLE.c.id == SUBNET_TABLE.c.network_id)
    .where(NETWORK_TABLE.c.external, SUBNET_TABLE.c.ip_version == 4)
    .order_by(SUBNET_TABLE.c.created_at, SUBNET_TABLE.c.id)
)
_SEEN_POOLS: Final = _POOLS.where(NETWORKS.visible)
_NETWORK_QOS: Final = (
    select(NETWORK_TABLE.c.qos_policy_id).where(NETWORK_TABLE.c.id == TABLE.c.floating_network_id).scalar_subquery()
)


def _behind(tx: Tx, things: Sequence[Thing]) -> dict[str, dict[str, object]]:
    """The port behind each, or, where ports of it are forwarded, those: one floating IP has either."""
    floating_ips = [thing for thing in things if isinstance(thing, FloatingIp)]
    port_ids = {f.port_id for f in floating_ips if f.port_id}
    ports = {port.id: port for port in tx.select(Port, {"id": port_ids})} if port_ids else {}
    shown: dict[str, dict[str, object]] = {}
    for floating_ip in floating_ips:
        if port := ports.get(floating_ip.port_id or ""):
            shown[floating_ip.id] = {"port_details": {name: getattr(port, name) for name in _DETAILS}}
    forwarding = [f.id for f in floating_ips if is_forwarding(f)]
    found = tx.select(PortForwarding, {"floatingip_id": forwarding}, order=("created_at", "id")) if forwarding else []
    for one in found:
        told = shown.setdefault(one.floatingip_id, {"port_forwardings": []})["port_forwardings"]
        assert isinstance(told, list)
        told.append(_forwarding(one))
    return shown


FLOATING_IPS: Final = Collection(
    spec=SPEC,
    type=FloatingIp,
    not_found=("FloatingIPNotFound", "Floating IP {} could not be found"),
    visible=TABLE.c.project_id == VIEWER,
    extras=(Extra(_NETWORK_QOS, lambda _, id_: {"qos_network_policy_id": id_}, of=()),),
    attach=_behind,
)


def create_floating_ips(tx: Tx, actor: Actor, wanted: Sequence[Mapping[str, Any]]) -> list[FloatingIp]:
    """All or none. Raises NotFound, Forbidden, BadRequest, Conflict."""
    places: dict[str, Place] = {}
    for one in wanted:
        require_act(actor, "create_floatingip", SPEC, one, Target(one["project_id"]))
        _require_named_whole(one)
        if one["floating_network_id"] not in places:
            places |= _outside(tx, actor, one["floating_network_id"])
    for policy_id in {one["qos_policy_id"] for one in wanted}:
        require_policy(tx, actor, policy_id)
    ids = [new_id() for _ in wanted]
    ports = make_ports(tx, places, [_port(tx, id_, one) for id_, one in zip(ids, wanted, strict=True)])
    made = [_new(tx, id_, one, port) for id_, one, port in zip(ids, wanted, ports, strict=True)]
    wishes = [_wish(floating_ip, one) for floating_ip, one in zip(made, wanted, strict=True) if one["port_id"]]
    led = ways(tx, actor, wishes)
    made = [msgspec.structs.replace(floating_ip, **led.get(floating_ip.id, {})) for floating_ip in made]
    tx.insert_many(made)
    return made


def update_floating_ip(
    tx: Tx, actor: Actor, id_: str, wanted: Mapping[str, Any], expected_revision: int | None = None
) -> FloatingIp:
    """A `port_id` of null detaches it, and so does a request that says nothing: once there was nothing else to say.

    Raises NotFound, Forbidden, PreconditionFailed, BadRequest, Conflict.
    """
    floating_ip = FLOATING_IPS.find(tx, actor, id_)
    require_act(actor, "update_floatingip", SPEC, wanted, Target(floating_ip.project_id))
    require_revision(floating_ip, expected_revision)
    asked = {name: wanted[name] for name in ("port_id", "fixed_ip_address", "router_id") if name in wanted}
    values = {name: value for name, value in wanted.items() if name not in asked}
    if "qos_policy_id" in values:
        require_policy(tx, actor, values["qos_policy_id"])
    if asked.get("fixed_ip_address") and not asked.get("port_id"):
        raise _without_a_port()
    port_id = asked.get("port_id", floating_ip.port_id)
    if port_id and {"port_id", "router_id"} & set(asked):
        if is_forwarding(floating_ip):
            raise _forwarded(id_)
        if port_id == floating_ip.port_id and "port_id" not in asked:
            asked["fixed_ip_address"] = floating_ip.fixed_ip_address
        values |= ways(tx, actor, [_wish(floating_ip, {**asked, "port_id": port_id})])[id_]
    elif "port_id" in asked or not wanted:
        values |= _DETACHED if is_forwarding(floating_ip) else {**_DETACHED, "router_id": None}
    return tx.change(floating_ip, **values)


def delete_floating_ip(tx: Tx, actor: Actor, id_: str, expected_revision: int | None = None) -> None:
    """Its address is free again. Raises NotFound, Forbidden, PreconditionFailed, Conflict while it forwards ports."""
    floating_ip = FLOATING_IPS.find(tx, actor, id_)
    require_act(actor, "delete_floatingip", SPEC, {}, Target(floating_ip.project_id))
    require_revision(floating_ip, expected_revision)
    if is_forwarding(floating_ip):
        raise _forwarded(id_)
    port = tx.get(Port, floating_ip.floating_port_id)
    assert port is not None
    tx.delete(floating_ip)
    remove_port(tx, port)


def list_pools(tx: Tx, actor: Actor) -> list[Shown]:
    """The IPv4 subnets of all external networks that the actor sees."""
    rows = tx.rows(_POOLS if actor.admin else _SEEN_POOLS, {"viewer": actor.project_id})
    return [
        Shown(
            FloatingIpPool(
                subnet_id=id_, subnet_name=name, network_id=network_id, cidr=cidr, project_id=actor.project_id
            )
        )
        for id_, name, network_id, cidr in rows
    ]


def is_forwarding(floating_ip: FloatingIp) -> bool:
    """Whether it has port forwardings: those alone give it a router without a port."""
    return floating_ip.router_id is not None and floating_ip.port_id is None


def _forwarding(one: PortForwarding) -> dict[str, object]:
    told: dict[str, object] = {
        "id": one.id,
        "protocol": one.protocol,
        "internal_port_id": one.internal_port_id,
        "internal_ip_address": one.internal_ip_address,
    }
    # As in Neutron, one of several ports is not told here.
    for name, first, last in (
        ("external_port", one.external_first, one.external_last),
        ("internal_port", one.internal_first, one.internal_last),
    ):
        if first == last:
            told[name] = first
    return told


def _bad(reason: str) -> BadRequest:
    return BadRequest(f"Bad floatingip request: {reason}.", "BadRequest")


def _without_a_port() -> BadRequest:
    return _bad("fixed_ip_address cannot be specified without a port_id")


def _forwarded(id_: str) -> Conflict:
    return Conflict(f"Floating IP {id_} in use by Port Forwarding resources.", "FipInUseByPortForwarding")


def _require_named_whole(wanted: Mapping[str, Any]) -> None:
    """Raises BadRequest for half a name in the DNS, and for an address of no port."""
    if wanted["dns_domain"] and not wanted["dns_name"]:
        raise _bad("dns_domain cannot be specified without a dns_name")
    if wanted["dns_name"] and not wanted["dns_domain"]:
        raise _bad("dns_name cannot be specified without a dns_domain")
    if wanted["fixed_ip_address"] and not wanted["port_id"]:
        raise _without_a_port()


def _outside(tx: Tx, actor: Actor, network_id: str) -> dict[str, Place]:
    network = NETWORKS.find(tx, actor, network_id)
    if not network.external:
        raise _bad(f"Network {network_id} is not a valid external network")
    place = place_for(tx, network_id)
    if not any(subnet.ip_version == 4 for subnet in place[network_id].subnets):
        raise _bad(f"Network {network_id} does not contain any IPv4 subnet")
    return place


def _port(tx: Tx, id_: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The port that holds the address, which belongs to nobody."""
    wish: dict[str, Any] = {}
    if wanted["floating_ip_address"] or wanted["subnet_id"]:
        wish = {"fixed_ips": (WantedIp(wanted["subnet_id"], wanted["floating_ip_address"]),)}
    return {
        "project_id": "",
        "network_id": wanted["floating_network_id"],
        "mac_address": new_mac(tx.settings.mac_prefix),
        "device_id": id_,
        "device_owner": FLOATING_IP,
        "port_security": False,
        "status": NOT_APPLICABLE,
        **wish,
    }


def _new(tx: Tx, id_: str, wanted: Mapping[str, Any], port: Port) -> FloatingIp:
    ip = port.fixed_ips[0].ip
    if ip_address(ip).version != 4:
        raise _bad(f"Address {ip} is not an IPv4 address")
    kept = ("project_id", "description", "qos_policy_id", "dns_name", "dns_domain")
    return FloatingIp(
        id=id_,
        created_at=tx.now,
        updated_at=tx.now,
        floating_network_id=port.network_id,
        floating_ip_address=ip,
        floating_port_id=port.id,
        **{name: wanted[name] for name in kept},
    )


def _wish(floating_ip: FloatingIp, wanted: Mapping[str, Any]) -> Wish:
    return Wish(floating_ip, wanted["port_id"], wanted.get("fixed_ip_address"), wanted.get("router_id"))
