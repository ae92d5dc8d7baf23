"""Ports: attachments to networks, with their addresses, groups and binding."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, and_, bindparam, or_, select, true

from suimon.model.actor import Actor
from suimon.model.attributes import UNGIVEN, Target
from suimon.model.errors import BadRequest, Conflict
from suimon.model.specs.ports import PORT, WantedIp, WantedPair
from suimon.model.things import FloatingIp, Host, Network, Port, Router, Subnet
from suimon.model.touches import FLOATING_IP, ROUTER_PORTS, UNPLUGGED
from suimon.model.view import AddressPair, FixedIp
from suimon.resources import addresses, security_groups
from suimon.resources.collection import VIEWER, Collection, Extra, require_revision
from suimon.resources.ids import new_id, new_mac
from suimon.resources.networks import NETWORKS
from suimon.resources.persona import RULES, require, require_act
from suimon.resources.port_addresses import Place, Seat, choose, place_statement, places
from suimon.resources.qos import require_policy
from suimon.resources.subnets import AUTO_ADDRESS
from suimon.store.errors import Stale, Taken
from suimon.store.tables import HOSTS, IP_ALLOCATIONS, PORT_SECURITY_GROUPS
from suimon.store.tables import NETWORKS as NETWORK_TABLE
from suimon.store.tables import PORTS as TABLE
from suimon.store.tx import Tx

SPEC: Final = PORT.governed_by(RULES)
_NETWORK_QOS: Final = (
    select(NETWORK_TABLE.c.qos_policy_id).where(NETWORK_TABLE.c.id == TABLE.c.network_id).scalar_subquery()
)
_HOST_KNOWN: Final = select(HOSTS.c.name).where(HOSTS.c.name == TABLE.c.binding_host).scalar_subquery()
_TAKEN_MACS: Final = select(TABLE.c.mac_address).where(
    TABLE.c.network_id.in_(bindparam("networks", expanding=True)),
    TABLE.c.mac_address.in_(bindparam("macs", expanding=True)),
)
_MAC_ROUNDS: Final = 20
_FOR_MEMBERS: Final = place_statement(NETWORKS.visible)
_FOR_ADMINS: Final = place_statement(true())


def _binding(port: Port, known_host: str | None) -> dict[str, object]:
    """How the port is bound, if there is such a host and it can plug such a port: it has no hardware to hand out."""
    if not port.binding_host:
        return {"vif_type": "unbound", "vif_details": {}}
    if known_host is None or port.binding_vnic_type != "normal":
        return {"vif_type": "binding_failed", "vif_details": {}}
    # What Nova and os-vif read: they plug into br-int with the port's id, and leave filtering to the flows.
    details = {"port_filter": True, "ovs_hybrid_plug": False, "bridge_name": "br-int"}
    return {"vif_type": "ovs", "vif_details": details}


def place_for(tx: Tx, network_id: str) -> dict[str, Place]:
    """The network, for ports that the system makes on it, as `make_ports` takes it."""
    return places(tx, _FOR_ADMINS, {"ids": [network_id]})


def _after_write(tx: Tx, port: Port) -> dict[str, object]:
    network = tx.get(Network, port.network_id)
    host = tx.get(Host, port.binding_host) if port.binding_host else None
    return {"qos_network_policy_id": network and network.qos_policy_id, **_binding(port, host.name if host else None)}


def _by_fixed_ips(texts: list[str]) -> ColumnElement[bool]:
    """`ip_address=`, `ip_address_substr=` and `subnet_id=`; each kind must hold, one text of a kind is enough."""
    found: dict[str, list[ColumnElement[bool]]] = {}
    for text in texts:
        key, _, value = text.partition("=")
        # The addresses are in the row as JSON, in which quotes end them.
        match key:
            case "ip_address":
                condition = TABLE.c.fixed_ips.contains(f'"ip":"{value}"', autoescape=True)
            case "ip_address_substr":
                condition = TABLE.c.fixed_ips.regexp_match(f'"ip":"[^"]*{re.escape(value)}[^"]*"')
            case "subnet_id":
                held = select(IP_ALLOCATIONS.c.port_id).where(IP_ALLOCATIONS.c.subnet_id == value)
                condition = TABLE.c.id.in_(held)
            case _:
                raise BadRequest(f"Invalid filter for fixed_ips: '{text}'.")
        found.setdefault(key, []).append(condition)
    return and_(*(or_(*conditions) for conditions in found.values()))


def _by_groups(texts: list[str]) -> ColumnElement[bool]:
    return TABLE.c.id.in_(select(PORT_SECURITY_GROUPS.c.port_id).where(PORT_SECURITY_GROUPS.c.group_id.in_(texts)))


PORTS: Final = Collection(
    spec=SPEC,
    type=Port,
    not_found=("PortNotFound", "Port {} could not be found."),
    visible=or_(
        TABLE.c.project_id == VIEWER,
        TABLE.c.network_id.in_(select(NETWORK_TABLE.c.id).where(NETWORK_TABLE.c.project_id == VIEWER)),
    ),
    extras=(
        Extra(_NETWORK_QOS, lambda _, id_: {"qos_network_policy_id": id_}),
        Extra(_HOST_KNOWN, _binding),
    ),
    special={"fixed_ips": _by_fixed_ips, "security_groups": _by_groups},
    after_write=_after_write,
)


def create_port(tx: Tx, actor: Actor, wanted: Mapping[str, Any]) -> Port:
    """Raises NotFound, Forbidden, BadRequest, Conflict."""
    return create_ports(tx, actor, [wanted])[0]


def create_ports(tx: Tx, actor: Actor, wanted: Sequence[Mapping[str, Any]]) -> list[Port]:
    """All or none, in a number of statements that doesn't grow with the number of ports."""
    statement = _FOR_ADMINS if actor.admin else _FOR_MEMBERS
    values = {"ids": list({one["network_id"] for one in wanted}), "viewer": actor.project_id}
    found = places(tx, statement, values)
    for one in wanted:
        if one["network_id"] not in found:
            raise NETWORKS.missing(one["network_id"])
        _require_may_set(
            actor, "create_port", one, Target(one["project_id"], found[one["network_id"]].network.project_id)
        )
    _require_not_a_router(tx, wanted)
    security_groups.groups_for(tx, actor, [group for one in wanted for group in one.get("security_groups", ())])
    for policy in {one["qos_policy_id"] for one in wanted}:
        require_policy(tx, actor, policy)
    _require_macs_free(tx, wanted)
    if len(wanted) > 1:
        wanted = _with_macs(tx, wanted)
    defaults: dict[str, str] = {}
    finished = [_finished(tx, found[one["network_id"]].network, one, defaults) for one in wanted]
    return make_ports(tx, found, finished)


def make_ports(tx: Tx, found: Mapping[str, Place], wanted: Sequence[Mapping[str, Any]]) -> list[Port]:
    """Ports whose every value but their addresses is decided; nobody's permission is asked."""
    fixed_ips: list[tuple[FixedIp, ...]] = [()] * len(wanted)
    for network_id, place in found.items():
        here = [n for n, one in enumerate(wanted) if one["network_id"] == network_id]
        seats = [
            Seat(
                wanted[n]["mac_address"],
                wanted[n].get("fixed_ips", UNGIVEN),
                forms_own=wanted[n]["device_owner"] not in UNPLUGGED,
                versions=(4,) if wanted[n]["device_owner"] == FLOATING_IP else (4, 6),
            )
            for n in here
        ]
        for n, chosen in zip(here, choose(tx, place, seats), strict=True):
            fixed_ips[n] = chosen
    ports = [
        Port(id=new_id(), created_at=tx.now, updated_at=tx.now, **{**one, "fixed_ips": ips})
        for one, ips in zip(wanted, fixed_ips, strict=True)
    ]
    try:
        tx.insert_many(ports)
    except Taken as taken:
        # Given MACs were seen to be free: a random one met its equal, or another writer was faster.
        raise Stale from taken
    _record(tx, ports)
    security_groups.enter(tx, ports)
    return ports


def update_port(
    tx: Tx, actor: Actor, id_: str, wanted: Mapping[str, Any], expected_revision: int | None = None
) -> Port:
    """Raises NotFound, Forbidden, PreconditionFailed, BadRequest, Conflict."""
    port = PORTS.find(tx, actor, id_)
    network = tx.get(Network, port.network_id)
    assert network is not None
    target = Target(port.project_id, network.project_id)
    _require_may_set(actor, "update_port", _differing(port, wanted), target)
    require_revision(port, expected_revision)
    values = {name: value for name, value in _differing(port, wanted).items() if value is not UNGIVEN}
    if not values:
        return port
    _require_router_keeps(tx, port, values)
    if "device_owner" in values or "device_id" in values:
        after = {"device_owner": port.device_owner, "device_id": port.device_id, **values}
        _require_not_a_router(tx, [after])
    if "qos_policy_id" in values:
        require_policy(tx, actor, values["qos_policy_id"], replaces=port.qos_policy_id)
    if "mac_address" in values:
        _require_new_mac(tx, port, values["mac_address"])
    if "security_groups" in values:
        security_groups.groups_for(tx, actor, values["security_groups"])
    values.update(_security(tx, port, values))
    if values.get("binding_host", port.binding_host) != port.binding_host:
        values.update(status="DOWN", status_reason="")
    if "fixed_ips" in values:
        values["fixed_ips"] = _move(tx, port, values)
    changed = tx.change(port, **values)
    _record_new(tx, port, changed)
    if changed.status != port.status:
        for floating_ip in tx.select(FloatingIp, {"port_id": id_}):
            tx.change(floating_ip, status=changed.status)
    if changed.security_groups != port.security_groups:
        security_groups.leave(tx, port)
        security_groups.enter(tx, [changed])
    return changed


def delete_port(tx: Tx, actor: Actor, id_: str, expected_revision: int | None = None) -> None:
    """Raises NotFound, Forbidden, PreconditionFailed, and Conflict for the ports of routers and floating IPs."""
    port = PORTS.find(tx, actor, id_)
    network = tx.get(Network, port.network_id)
    assert network is not None
    require_act(actor, "delete_port", SPEC, {}, Target(port.project_id, network.project_id))
    require_revision(port, expected_revision)
    if _serves(tx, port):
        raise Conflict(
            f"Port {id_} cannot be deleted directly via the port API: has device owner {port.device_owner}.",
            "ServicePortInUse",
        )
    for floating_ip in tx.select(FloatingIp, {"port_id": id_}):
        tx.change(floating_ip, port_id=None, fixed_ip_address=None, router_id=None, status="DOWN")
    remove_port(tx, port)


def remove_port(tx: Tx, port: Port) -> None:
    """The port and its addresses; nobody's permission is asked."""
    addresses.give_back(tx, port.fixed_ips)
    tx.delete(port)


def move_port(tx: Tx, port: Port, wanted: tuple[WantedIp, ...]) -> Port:
    """Other addresses for a port; nobody's permission is asked. Raises BadRequest, NotFound, Conflict."""
    changed = tx.change(port, fixed_ips=_move(tx, port, {"fixed_ips": wanted}))
    _record_new(tx, port, changed)
    return changed


def _record_new(tx: Tx, before: Port, after: Port) -> None:
    new = _only(after.fixed_ips, without=before.fixed_ips)
    if new:
        _record(tx, [msgspec.structs.replace(after, fixed_ips=new)])


def _record(tx: Tx, ports: Sequence[Port]) -> None:
    """Write down who has the addresses of these ports."""
    held = [(_subnet(tx, fixed), fixed.ip, port.id) for port in ports for fixed in port.fixed_ips]
    addresses.record(tx, held)


def _subnet(tx: Tx, fixed: FixedIp) -> Subnet:
    subnet = tx.get(Subnet, fixed.subnet_id)
    assert subnet is not None
    return subnet


def _only(fixed_ips: Iterable[FixedIp], without: Iterable[FixedIp]) -> tuple[FixedIp, ...]:
    others = set(without)
    return tuple(fixed for fixed in fixed_ips if fixed not in others)


def _differing(port: Port, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What would really change: setting a value to what it is needs no permission, as in Neutron."""
    return {name: value for name, value in wanted.items() if getattr(port, name) != value}


def _require_may_set(actor: Actor, act: str, wanted: Mapping[str, Any], target: Target) -> None:
    require_act(actor, act, SPEC, wanted, target)
    if str(wanted.get("device_owner", "")).startswith("network:"):
        require(actor, f"{act}:device_owner:network", target)
    fixed_ips = wanted.get("fixed_ips", UNGIVEN)
    if fixed_ips is not UNGIVEN and any(wish.ip for wish in fixed_ips):
        require(actor, f"{act}:fixed_ips:ip_address", target)


def _require_not_a_router(tx: Tx, wanted: Sequence[Mapping[str, Any]]) -> None:
    """A port becomes a router's by an act on the router only. Raises Conflict."""
    devices = {one["device_id"] for one in wanted if one["device_owner"] in UNPLUGGED}
    routers = tx.select(Router, {"id": devices}, limit=1) if devices else []
    if routers:
        raise Conflict(
            f"The following device_id {routers[0].id} is not owned by your tenant or matches another tenants router.",
            "DeviceIDNotOwnedByTenant",
        )


def _require_router_keeps(tx: Tx, port: Port, values: Mapping[str, Any]) -> None:
    """What makes a port a router's or a floating IP's is not to be changed from its own side. Raises Conflict."""
    if {"device_id", "device_owner", "fixed_ips", "mac_address"} & set(values) and _serves(tx, port):
        raise Conflict(
            f"Port {port.id} cannot be changed directly via the port API: has device owner {port.device_owner}.",
            "ServicePortInUse",
        )


def _serves(tx: Tx, port: Port) -> bool:
    if port.device_owner in ROUTER_PORTS:
        return tx.get(Router, port.device_id) is not None
    return port.device_owner == FLOATING_IP and bool(tx.select(FloatingIp, {"floating_port_id": port.id}, limit=1))


def _require_macs_free(tx: Tx, wanted: Sequence[Mapping[str, Any]]) -> None:
    given = [(one["network_id"], one["mac_address"]) for one in wanted if "mac_address" in one]
    if not given:
        return
    networks, macs = zip(*given, strict=True)
    taken = {
        (p.network_id, p.mac_address) for p in tx.select(Port, {"network_id": set(networks), "mac_address": set(macs)})
    }
    for network_and_mac in given:
        if network_and_mac in taken:
            raise _mac_in_use(*network_and_mac)
        taken.add(network_and_mac)


def _with_macs(tx: Tx, wanted: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Each with a MAC. A random one seldom meets another; of thousands some always do, so those are looked up.

    Raises Conflict when there is hardly one left.
    """
    networks = {one["network_id"] for one in wanted}
    given = {one["mac_address"] for one in wanted if "mac_address" in one}
    open_ = [n for n, one in enumerate(wanted) if "mac_address" not in one]
    chosen: list[str] = []
    for _ in range(_MAC_ROUNDS):
        missing = len(open_) - len(chosen)
        if not missing:
            break
        fresh = {new_mac(tx.settings.mac_prefix) for _ in range(2 * missing)} - given - set(chosen)
        taken = {mac for (mac,) in tx.rows(_TAKEN_MACS, {"networks": list(networks), "macs": list(fresh)})}
        chosen += list(fresh - taken)[:missing]
    if len(chosen) < len(open_):
        raise Conflict(f"Unable to generate unique mac on network {min(networks)}.", "MacAddressGenerationFailure")
    macs = dict(zip(open_, chosen, strict=True))
    return [{**one, "mac_address": macs[n]} if n in macs else one for n, one in enumerate(wanted)]


def _mac_in_use(network_id: str, mac: str) -> Conflict:
    return Conflict(
        f"Unable to complete operation for network {network_id}. The mac address {mac} is in use.", "MacAddressInUse"
    )


def _require_new_mac(tx: Tx, port: Port, mac: str) -> None:
    if port.binding_host:
        raise Conflict(
            f"Unable to complete operation on port {port.id}, port is already bound, port type: ovs, old_mac "
            f"{port.mac_address}, new_mac {mac}.",
            "PortBound",
        )
    if tx.select(Port, {"network_id": port.network_id, "mac_address": mac}, limit=1):
        raise _mac_in_use(port.network_id, mac)


def _finished(tx: Tx, network: Network, wanted: Mapping[str, Any], defaults: dict[str, str]) -> dict[str, Any]:
    """The wanted port with everything chosen that was left open, except for its addresses.

    `defaults` remembers the default group of each project from one port of the request to the next.
    """
    trusted = network.port_security and not wanted["device_owner"].startswith("network:")
    values = {**wanted, "mac_address": wanted.get("mac_address") or new_mac(tx.settings.mac_prefix)}
    values.setdefault("port_security", trusted)
    if "security_groups" not in values:
        project_id = wanted["project_id"]
        if values["port_security"] and project_id not in defaults:
            defaults[project_id] = security_groups.default_group(tx, project_id).id
        values["security_groups"] = (defaults[project_id],) if values["port_security"] else ()
    _require_secure(values["port_security"], values["security_groups"], values.get("allowed_address_pairs", ()))
    values["allowed_address_pairs"] = _pairs(values.get("allowed_address_pairs", ()), values["mac_address"])
    return values


def _require_secure(port_security: bool, groups: Sequence[str], pairs: Sequence[object]) -> None:
    """Groups and address pairs are exceptions from port security: without it there is nothing to except from."""
    if not port_security and pairs:
        raise Conflict(
            "Port Security must be enabled in order to have allowed address pairs on a port.",
            "AddressPairAndPortSecurityRequired",
        )
    if not port_security and groups:
        raise Conflict(
            "Port security must be enabled and port must have an IP address in order to use security groups.",
            "PortSecurityAndIPRequiredForSecurityGroups",
        )


def _security(tx: Tx, port: Port, values: Mapping[str, Any]) -> dict[str, Any]:
    """Groups, pairs and port security after an update, if any of them is to change. Raises Conflict."""
    if not {"port_security", "security_groups", "allowed_address_pairs"} & set(values):
        return {}
    secure = values.get("port_security", port.port_security)
    pairs = values.get("allowed_address_pairs", port.allowed_address_pairs)
    if not secure and port.security_groups and "security_groups" not in values:
        raise Conflict(
            "Port has security group associated. Cannot disable port security or IP address until security group is "
            "removed.",
            "PortSecurityPortHasSecurityGroup",
        )
    groups = values.get("security_groups", port.security_groups)
    if secure and not port.port_security and "security_groups" not in values:
        groups = (security_groups.default_group(tx, port.project_id).id,)
    _require_secure(secure, groups, pairs)
    return {
        "security_groups": groups,
        "allowed_address_pairs": _pairs(pairs, values.get("mac_address", port.mac_address)),
    }


def _pairs(pairs: Sequence[WantedPair | AddressPair], mac: str) -> tuple[AddressPair, ...]:
    return tuple(AddressPair(pair.mac or mac, pair.cidr) for pair in pairs)


def _move(tx: Tx, port: Port, values: Mapping[str, Any]) -> tuple[FixedIp, ...]:
    """The port's addresses after an update: it keeps those that it names again and those that its guest formed."""
    wanted: tuple[WantedIp, ...] = values["fixed_ips"]
    formed = {fixed for fixed in port.fixed_ips if _subnet(tx, fixed).ipv6_address_mode in AUTO_ADDRESS}
    keep = [fixed for fixed in port.fixed_ips if fixed in formed or any(_is_same(wish, fixed) for wish in wanted)]
    new = tuple(wish for wish in wanted if not any(_is_same(wish, fixed) for fixed in keep))
    gone = _only(port.fixed_ips, without=keep)
    floating_ips = tx.select(FloatingIp, {"port_id": port.id})
    if lost := [f for f in floating_ips if any(f.fixed_ip_address == fixed.ip for fixed in gone)]:
        raise Conflict(
            f"Cannot remove fixed IP {lost[0].fixed_ip_address} of port {port.id}: floating IP {lost[0].id} needs it.",
            "FixedIpInUseByFloatingIp",
        )
    addresses.give_back(tx, gone)
    found = place_for(tx, port.network_id)
    mac = values.get("mac_address", port.mac_address)
    (chosen,) = choose(tx, found[port.network_id], [Seat(mac, new, forms_own=False)])
    return (*keep, *chosen)


def _is_same(wish: WantedIp, fixed: FixedIp) -> bool:
    """A wish for any address of a subnet is met by the one that the port has there."""
    return wish.subnet_id in (None, fixed.subnet_id) and wish.ip in (None, fixed.ip)
