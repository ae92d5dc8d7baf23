"""Ports: attachments to networks, with their addresses, groups and binding."""

from __future__ import annotations

import re
from collections.abc import Collection as Some
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

import msgspec
from sqlalchemy import ColumnElement, and_, false, or_, select, true

from suimon.model import dns_names
from suimon.model.actor import Actor
from suimon.model.attributes import UNGIVEN, Target
from suimon.model.errors import BadRequest, CallerError, Conflict, Forbidden
from suimon.model.specs.dhcp_options import merged
from suimon.model.specs.ports import PORT, WantedIp
from suimon.model.things import FloatingIp, Network, Port, PortBinding, Router, Subnet
from suimon.model.touches import FLOATING_IP, ROUTER_INTERFACE, ROUTER_PORTS, UNPLUGGED, of_the_cloud
from suimon.model.view import FixedIp
from suimon.resources import (
    addresses,
    port_details,
    port_uses,
    security_groups,
    sharing,
    trunk_bindings,
    virtual_addresses,
)
from suimon.resources.collection import VIEWER, Collection, require_revision
from suimon.resources.ids import new_id, new_mac
from suimon.resources.networks import NETWORKS
from suimon.resources.persona import RULES, admin_or_service, allows, require, require_act, sees_all
from suimon.resources.port_addresses import Place, Seat, choose, place_statement, places
from suimon.resources.port_macs import require_macs_free, require_new_mac, with_macs
from suimon.resources.port_security import require_secure, security_after, whole_pairs
from suimon.resources.qos import require_policy
from suimon.resources.subnets import formed_address, is_automatic
from suimon.resources.tags import require_may_tag
from suimon.store.errors import Stale, Taken
from suimon.store.tables import IP_ALLOCATIONS, PORT_SECURITY_GROUPS
from suimon.store.tables import NETWORKS as NETWORK_TABLE
from suimon.store.tables import PORTS as TABLE
from suimon.store.tx import Tx

SPEC: Final = PORT.governed_by(RULES)
_FOR_MEMBERS: Final = place_statement(sharing.visible("network", NETWORK_TABLE))
"""A network that one sees only because it is external has room for gateways and floating IPs, not for ports."""
_SEEN: Final = place_statement(NETWORKS.visible)
_FOR_ADMINS: Final = place_statement(true())
_LONGEST_IP: Final = 45
"""Characters; that of IPv6 with four numbers at its end."""


def place_for(tx: Tx, network_id: str) -> dict[str, Place]:
    """The network, for ports that the system makes on it, as `make_ports` takes it."""
    return places(tx, _FOR_ADMINS, {"ids": [network_id]})


def _by_fixed_ips(texts: list[str]) -> ColumnElement[bool]:
    """`ip_address=`, `ip_address_substr=` and `subnet_id=`; each kind must hold, one text of a kind is enough."""
    wanted: dict[str, list[str]] = {}
    for text in texts:
        key, _, value = text.partition("=")
        if key not in ("ip_address", "ip_address_substr", "subnet_id"):
            raise BadRequest(f"Invalid filter for fixed_ips: '{text}'.")
        wanted.setdefault(key, []).append(value)
    return and_(*(_has_one_of(key, values) for key, values in wanted.items()))


def _has_one_of(key: str, values: list[str]) -> ColumnElement[bool]:
    if key == "subnet_id":
        held = select(IP_ALLOCATIONS.c.port_id).where(IP_ALLOCATIONS.c.subnet_id.in_(values))
        return TABLE.c.id.in_(held)
    # One pattern, for SQLite takes no thousand conditions; and a short one, for PostgreSQL takes no endless pattern.
    texts = [re.escape(value) for value in values if len(value) <= _LONGEST_IP]
    around = "" if key == "ip_address" else '[^"]*'
    # The addresses are in the row as JSON, in which quotes end them.
    return TABLE.c.fixed_ips.regexp_match(f'"ip":"{around}({"|".join(texts)}){around}"') if texts else false()


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
    extras=port_details.EXTRAS,
    special={"fixed_ips": _by_fixed_ips, "security_groups": _by_groups},
    attach=lambda tx, ports: port_details.names(tx, cast("Sequence[Port]", ports)),
    attach_of=port_details.NAMES_OF,
    after_write=port_details.after_write,
)


MIGRATING: Final = ("compute:", "manila:")
"""Device owners whose ports may be bound to several hosts."""


def create_port(tx: Tx, actor: Actor, wanted: Mapping[str, Any]) -> Port:
    """Raises NotFound, Forbidden, BadRequest, Conflict."""
    return create_ports(tx, actor, [wanted])[0]


def create_ports(tx: Tx, actor: Actor, wanted: Sequence[Mapping[str, Any]]) -> list[Port]:
    """All or none, in a number of statements that doesn't grow with the number of ports."""
    statement = _FOR_ADMINS if sees_all(actor, "network") else _FOR_MEMBERS
    owner = wanted[0]["project_id"]
    values = {"ids": list({one["network_id"] for one in wanted}), "viewer": actor.project_id, "owner": owner}
    found = places(tx, statement, values)
    for one in wanted:
        if one["network_id"] not in found:
            raise _no_place(tx, one["network_id"], values)
        _require_may_set(
            actor, "create_port", one, Target(one["project_id"], found[one["network_id"]].network.project_id)
        )
    wanted = [{name: value for name, value in one.items() if value is not UNGIVEN} for one in wanted]
    _require_not_a_router(tx, wanted)
    security_groups.groups_for(tx, actor, [group for one in wanted for group in one.get("security_groups", ())])
    for policy in {one["qos_policy_id"] for one in wanted}:
        require_policy(tx, actor, policy)
    require_macs_free(tx, wanted)
    if len(wanted) > 1:
        wanted = with_macs(tx, wanted)
    default = found[wanted[0]["network_id"]].default_group
    defaults = {owner: default} if default else {}
    finished = [_finished(tx, actor, found[one["network_id"]].network, one, defaults) for one in wanted]
    return make_ports(tx, found, finished)


def _no_place(tx: Tx, network_id: str, values: Mapping[str, object]) -> CallerError:
    """Why there is no place for a port: the network isn't seen, or is seen and isn't for ports."""
    if network_id in places(tx, _SEEN, values):
        return Forbidden("rule:create_port is disallowed by policy")
    return NETWORKS.missing(network_id)


def make_ports(tx: Tx, found: Mapping[str, Place], wanted: Sequence[Mapping[str, Any]]) -> list[Port]:
    """Ports whose every value but their addresses is decided; nobody's permission is asked.

    Those of no actor are the system's, and so infrastructure if their owner is one of it.
    """
    fixed_ips: list[tuple[FixedIp, ...]] = [()] * len(wanted)
    for network_id, place in found.items():
        here = [n for n, one in enumerate(wanted) if one["network_id"] == network_id]
        seats = [
            Seat(
                wanted[n]["mac_address"],
                wanted[n].get("fixed_ips", UNGIVEN),
                forms_own=wanted[n]["device_owner"] not in UNPLUGGED,
                versions=(4,) if wanted[n]["device_owner"] == FLOATING_IP else (4, 6),
                owner=wanted[n]["device_owner"],
            )
            for n in here
        ]
        for n, chosen in zip(here, choose(tx, place, seats), strict=True):
            fixed_ips[n] = chosen
    ports = [
        Port(
            id=new_id(),
            created_at=tx.now,
            updated_at=tx.now,
            **{"infrastructure": of_the_cloud(one["device_owner"]), **one, "fixed_ips": ips},
        )
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
    values = _chosen(tx, port, _differing(port, wanted))
    if not values:
        return port
    _require_may_become(tx, actor, port, values)
    values.update(security_after(port, values))
    if "device_owner" in values:
        values["infrastructure"] = _is_vouched_for(actor, values["device_owner"])
    if "fixed_ips" in values:
        values["fixed_ips"] = _move(tx, port, values)
    changed = _rebound(tx, port, values)
    _record_new(tx, port, changed)
    virtual_addresses.follow(tx, port, changed)
    if changed.security_groups != port.security_groups:
        security_groups.leave(tx, port)
        security_groups.enter(tx, [changed])
    return changed


def delete_port(tx: Tx, actor: Actor, id_: str, expected_revision: int | None = None) -> None:
    """Raises NotFound, Forbidden, PreconditionFailed, and Conflict for the ports of routers and floating IPs."""
    shown = PORTS.get(tx, actor, id_)
    port = shown.thing
    assert isinstance(port, Port)
    uses = port_uses.uses_of(tx, port)
    target = Target(port.project_id, uses.network_owner, {"device_owner": port.device_owner})
    require_act(actor, "delete_port", SPEC, {}, target)
    require_revision(port, expected_revision)
    _require_in_no_trunk(port, shown.extras)
    if _serves(tx, port):
        raise Conflict(
            f"Port {id_} cannot be deleted directly via the port API: has device owner {port.device_owner}.",
            "ServicePortInUse",
        )
    port_uses.let_go(tx, actor, port, uses)
    remove_port(tx, port)


def rebind_port(tx: Tx, port: Port, binding: PortBinding) -> Port:
    """The port on another host, or none, or with another profile; nobody's permission is asked."""
    values = {
        "binding_host": binding.host,
        "binding_vnic_type": binding.vnic_type,
        "binding_profile": binding.profile,
    }
    changed = _rebound(tx, port, {name: value for name, value in values.items() if getattr(port, name) != value})
    virtual_addresses.follow(tx, port, changed)
    return changed


def remove_port(tx: Tx, port: Port) -> None:
    """The port and its addresses; nobody's permission is asked. Raises Conflict for a trunk's port."""
    addresses.free(tx, port.fixed_ips)
    for waiting in tx.select(PortBinding, {"port_id": port.id}) if port.device_owner.startswith(MIGRATING) else ():
        tx.delete(waiting)  # Its host is told; a cascade would say nothing.
    try:
        tx.delete(port)  # And with it what says which addresses it has.
    except Taken as taken:
        raise Conflict(f"Port {port.id} is still in use.", "PortInUse") from taken


def move_port(tx: Tx, port: Port, wanted: tuple[WantedIp, ...]) -> Port:
    """Other addresses for a port; nobody's permission is asked. Raises BadRequest, NotFound, Conflict."""
    changed = tx.change(port, fixed_ips=_move(tx, port, {"fixed_ips": wanted}))
    _record_new(tx, port, changed)
    return changed


def _rebound(tx: Tx, port: Port, values: Mapping[str, Any]) -> Port:
    """The port with these values. On another host it isn't up yet, and the binding that waited there is used up."""
    if "binding_host" not in values:
        return tx.change(port, **values)
    for waiting in tx.select(PortBinding, {"port_id": port.id, "host": values["binding_host"]}):
        tx.delete(waiting)
    if port.status != "DOWN":
        for floating_ip in tx.select(FloatingIp, {"port_id": port.id}):
            tx.change(floating_ip, status="DOWN")
    changed = tx.change(port, **{**values, "status": "DOWN", "status_reason": ""})
    trunk_bindings.follow_parent(tx, changed)
    return changed


def _chosen(tx: Tx, port: Port, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What is to change, with everything chosen that was left open; addresses are wishes still."""
    values = {name: value for name, value in wanted.items() if value is not UNGIVEN}
    if wanted.get("mac_address") is UNGIVEN:
        values["mac_address"] = new_mac(tx.settings.mac_prefix)
    if "extra_dhcp_opts" in values:
        values["extra_dhcp_opts"] = merged(port.extra_dhcp_opts, values["extra_dhcp_opts"])
        if values["extra_dhcp_opts"] == port.extra_dhcp_opts:
            del values["extra_dhcp_opts"]
    if "mac_address" in values and "fixed_ips" not in values:
        # A guest with another MAC forms other addresses.
        named = tuple(fixed for fixed in port.fixed_ips if not _is_formed(tx, fixed, port.mac_address))
        if named != port.fixed_ips:
            values["fixed_ips"] = tuple(WantedIp(fixed.subnet_id, fixed.ip) for fixed in named)
    return values


def _require_may_become(tx: Tx, actor: Actor, port: Port, values: Mapping[str, Any]) -> None:
    """Raises NotFound, BadRequest, Conflict for values that this port can't have."""
    _require_router_keeps(tx, port, values)
    if "device_owner" in values or "device_id" in values:
        after = {"device_owner": port.device_owner, "device_id": port.device_id, **values}
        _require_not_a_router(tx, [after])
    if "qos_policy_id" in values:
        require_policy(tx, actor, values["qos_policy_id"], replaces=port.qos_policy_id)
    if "mac_address" in values:
        require_new_mac(tx, port, values["mac_address"])
    if "security_groups" in values:
        security_groups.groups_for(tx, actor, values["security_groups"])
    if "numa_affinity_policy" in values and port.binding_host:
        raise Conflict(
            f"Unable to complete operation on port {port.id}, port is already bound to host {port.binding_host}, "
            f"numa_affinity_policy value given {values['numa_affinity_policy']}.",
            "PortBoundNUMAAffinityPolicy",
        )
    _require_name_here(tx, values.get("dns_name", ""))


def _require_name_here(tx: Tx, name: str) -> None:
    """A full name has to be in the installation's domain, and a short one has to fit before it. Raises BadRequest."""
    domain = tx.settings.dns_domain
    if name.endswith("."):
        if name.endswith(f".{domain}") and len(name) > len(domain) + 1:
            return
        reason = (
            "The dns_name passed is a FQDN. Its higher level labels must be equal to the domain of the installation, "
            f"which is '{domain}'. It must also include one or more valid DNS labels to the left of '{domain}'"
        )
    elif name and len(name) + 1 + len(domain) > dns_names.MAX_LENGTH:
        reason = (
            f"The dns_name passed is a PQDN and its size is '{len(name)}'. Together with the domain of the "
            f"installation, '{domain}', it exceeds the maximum size of '{dns_names.MAX_LENGTH}'"
        )
    else:
        return
    raise BadRequest(f"Invalid input for dns_name. Reason: {reason}.")


def _require_in_no_trunk(port: Port, details: Mapping[str, object]) -> None:
    trunk = port_details.trunk_of(details)
    if trunk is None:
        return
    id_, parent = trunk
    if parent:
        raise Conflict(f"Port {port.id} is currently a parent port for trunk {id_}.", "PortInUseAsTrunkParent")
    raise Conflict(f"Port {port.id} is currently a subport for trunk {id_}.", "PortInUseAsSubPort")


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
    require_may_tag(actor, wanted.get("tags", ()))
    if str(wanted.get("device_owner", "")).startswith("network:"):
        require(actor, f"{act}:device_owner:network", target)
    fixed_ips = wanted.get("fixed_ips", UNGIVEN)
    if fixed_ips is not UNGIVEN and any(wish.ip for wish in fixed_ips):
        require(actor, f"{act}:fixed_ips:ip_address", target)


def _is_vouched_for(actor: Actor, device_owner: str) -> bool:
    """Whether a port is infrastructure because of who says so. Tenants may write any owner where Neutron lets them:
    of theirs, no restriction and no policy thinks more than of a guest's.
    """
    return of_the_cloud(device_owner) and admin_or_service(actor, Target(""))


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
    changes = {"device_id", "device_owner", "fixed_ips", "mac_address"} & set(values)
    if "fixed_ips" in changes and _matched(values["fixed_ips"], port.fixed_ips, ()) == (port.fixed_ips, ()):
        changes.remove("fixed_ips")
    if not changes or not _serves(tx, port):
        return
    if "fixed_ips" in changes and port.device_owner == ROUTER_INTERFACE:
        raise BadRequest(f"IP updates for port {port.id} are not allowed", "IPAddressChangeNotAllowed")
    raise Conflict(
        f"Port {port.id} cannot be changed directly via the port API: has device owner {port.device_owner}.",
        "ServicePortInUse",
    )


def _serves(tx: Tx, port: Port) -> bool:
    if port.device_owner in ROUTER_PORTS:
        return tx.get(Router, port.device_id) is not None
    return port.device_owner == FLOATING_IP and bool(tx.select(FloatingIp, {"floating_port_id": port.id}, limit=1))


def _finished(
    tx: Tx, actor: Actor, network: Network, wanted: Mapping[str, Any], defaults: dict[str, str]
) -> dict[str, Any]:
    """The wanted port with everything chosen that was left open, except for its addresses.

    `defaults` remembers the default group of each project from one port of the request to the next.
    """
    values = {**wanted, "mac_address": wanted.get("mac_address") or new_mac(tx.settings.mac_prefix)}
    values.setdefault("port_security", network.port_security and not _goes_without(actor, network, wanted))
    values["infrastructure"] = _is_vouched_for(actor, wanted["device_owner"])
    if "security_groups" not in values:
        project_id = wanted["project_id"]
        if values["port_security"] and project_id not in defaults:
            defaults[project_id] = security_groups.default_group(tx, project_id).id
        values["security_groups"] = (defaults[project_id],) if values["port_security"] else ()
    require_secure(values["port_security"], values["security_groups"], values.get("allowed_address_pairs", ()))
    values["allowed_address_pairs"] = whole_pairs(values.get("allowed_address_pairs", ()), values["mac_address"])
    values["extra_dhcp_opts"] = merged((), values.get("extra_dhcp_opts", ()))
    values["ip_allocation"] = "none" if values.get("fixed_ips") == () else "immediate"
    if values.get("hardware_offload_type"):
        values["binding_profile"] = _capable(values["binding_profile"], values["hardware_offload_type"])
    _require_name_here(tx, values.get("dns_name", ""))
    return values


def _goes_without(actor: Actor, network: Network, wanted: Mapping[str, Any]) -> bool:
    """As in Neutron, a port of the network's own has no port security unless asked for: of who may turn it off."""
    target = Target(wanted["project_id"], network.project_id)
    return wanted["device_owner"].startswith("network:") and allows(actor, "create_port:port_security_enabled", target)


def _capable(profile: Mapping[str, Any], type_: str) -> dict[str, Any]:
    """The profile with what Nova asks the host's hardware for."""
    there = profile.get("capabilities")
    capabilities = there if isinstance(there, list) else []
    return {**profile, "capabilities": [*capabilities, *([] if type_ in capabilities else [type_])]}


def _move(tx: Tx, port: Port, values: Mapping[str, Any]) -> tuple[FixedIp, ...]:
    """The port's addresses after an update: it keeps those that it names again and those that its guest forms."""
    mac = values.get("mac_address", port.mac_address)
    owner = values.get("device_owner", port.device_owner)
    formed = () if owner in UNPLUGGED else tuple(fixed for fixed in port.fixed_ips if _is_formed(tx, fixed, mac))
    keep, new = _matched(values["fixed_ips"], port.fixed_ips, formed)
    gone = _only(port.fixed_ips, without=keep)
    lost = {fixed.ip for fixed in gone}
    if lost and tx.select(FloatingIp, {"port_id": port.id, "fixed_ip_address": lost}, limit=1):
        raise BadRequest(
            f"Bad port request: Cannot update the fixed_ips of the port {port.id}, because its original fixed_ip has "
            "been associated to a floating ip.",
            "BadRequest",
        )
    if lost:
        port_uses.lose_addresses(tx, port, lost)
    addresses.give_back(tx, gone)
    found = place_for(tx, port.network_id)
    seat = Seat(mac, new, forms_own=owner not in UNPLUGGED, owner=owner, kept=keep)
    (chosen,) = choose(tx, found[port.network_id], [seat])
    return (*keep, *chosen)


def _is_formed(tx: Tx, fixed: FixedIp, mac: str) -> bool:
    """Whether a guest with this MAC makes this address by itself."""
    subnet = _subnet(tx, fixed)
    return is_automatic(subnet) and fixed.ip == formed_address(subnet, mac)


def _matched(
    wanted: Sequence[WantedIp], there: Sequence[FixedIp], formed: Some[FixedIp]
) -> tuple[tuple[FixedIp, ...], tuple[WantedIp, ...]]:
    """What stays of the addresses that are there, and the wishes that none of them meets; each meets one wish."""
    left, new = list(there), []
    for wish in sorted(wanted, key=lambda wish: wish.ip is None):
        same = next((fixed for fixed in left if _is_same(wish, fixed)), None)
        if same is not None:
            left.remove(same)
        else:
            new.append(wish)
    return tuple(fixed for fixed in there if fixed not in left or fixed in formed), tuple(new)


def _is_same(wish: WantedIp, fixed: FixedIp) -> bool:
    """A wish for any address of a subnet is met by the one that the port has there."""
    return wish.subnet_id in (None, fixed.subnet_id) and wish.ip in (None, fixed.ip)
