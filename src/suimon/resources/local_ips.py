"""Local IPs: one address that means, on every host, a port there; and the ports that each means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from suimon.model.actor import Actor
from suimon.model.attributes import Shown, Target
from suimon.model.errors import BadRequest, Conflict, NotFound
from suimon.model.specs.local_ips import LOCAL_IP, LOCAL_IP_ASSOCIATION
from suimon.model.specs.ports import WantedIp
from suimon.model.things import LocalIp, LocalIpAssociation, Port
from suimon.model.touches import LOCAL_IP as OWNER
from suimon.resources.collection import VIEWER, Collection, require_revision
from suimon.resources.floating_ips import NOT_APPLICABLE
from suimon.resources.floating_ways import ipv4_of
from suimon.resources.ids import new_id, new_mac
from suimon.resources.networks import NETWORKS
from suimon.resources.persona import RULES, require, require_act
from suimon.resources.ports import PORTS, make_ports, place_for, remove_port
from suimon.store.tables import LOCAL_IPS as TABLE
from suimon.store.tx import Tx

SPEC: Final = LOCAL_IP.governed_by(RULES)
ASSOCIATION_SPEC: Final = LOCAL_IP_ASSOCIATION.governed_by(RULES)
LOCAL_IPS: Final = Collection(
    spec=SPEC,
    type=LocalIp,
    not_found=("LocalIPNotFound", "Local IP {} could not be found."),
    visible=TABLE.c.project_id == VIEWER,
)


def create_local_ips(tx: Tx, actor: Actor, wanted: Sequence[Mapping[str, Any]]) -> list[LocalIp]:
    """All or none."""
    return [create_local_ip(tx, actor, one) for one in wanted]


def create_local_ip(tx: Tx, actor: Actor, wanted: Mapping[str, Any]) -> LocalIp:
    """The address of a port, or of a new one on a network. Raises NotFound, Forbidden, BadRequest, Conflict."""
    require_act(actor, "create_local_ip", SPEC, wanted, Target(wanted["project_id"]))
    id_ = new_id()
    ip = wanted["local_ip_address"]
    if wanted["local_port_id"]:
        port = PORTS.find(tx, actor, wanted["local_port_id"])
        ip = _address(port, ip)
    elif wanted["network_id"]:
        port = _hold(tx, actor, id_, wanted)
        ip = ip or ipv4_of(port)[0].ip
    else:
        raise _invalid(
            "Either Port ID or Network ID must be specified for Local IP create", "LocalIPPortOrNetworkRequired"
        )
    held = {"local_port_id": port.id, "network_id": port.network_id, "local_ip_address": ip}
    local_ip = LocalIp(id=id_, created_at=tx.now, updated_at=tx.now, **{**wanted, **held})
    tx.insert(local_ip)
    return local_ip


def update_local_ip(
    tx: Tx, actor: Actor, id_: str, wanted: Mapping[str, Any], expected_revision: int | None = None
) -> LocalIp:
    """Raises NotFound, Forbidden, PreconditionFailed."""
    local_ip = LOCAL_IPS.find(tx, actor, id_)
    require_act(actor, "update_local_ip", SPEC, wanted, Target(local_ip.project_id))
    require_revision(local_ip, expected_revision)
    return tx.change(local_ip, **wanted) if wanted else local_ip


def delete_local_ip(tx: Tx, actor: Actor, id_: str, expected_revision: int | None = None) -> None:
    """With the port made for it. Raises NotFound, Forbidden, PreconditionFailed, Conflict while it means ports."""
    local_ip = LOCAL_IPS.find(tx, actor, id_)
    require_act(actor, "delete_local_ip", SPEC, {}, Target(local_ip.project_id))
    require_revision(local_ip, expected_revision)
    if tx.select(LocalIpAssociation, {"local_ip_id": id_}, limit=1):
        raise Conflict(f"Local IP {id_} is still associated with one or more ports.", "LocalIPInUse")
    port = tx.get(Port, local_ip.local_port_id)
    assert port is not None
    tx.delete(local_ip)
    if port.device_owner == OWNER:
        remove_port(tx, port)


def list_associations(tx: Tx, actor: Actor, local_ip_id: str) -> list[Shown]:
    """All of a local IP. Raises NotFound."""
    local_ip = LOCAL_IPS.find(tx, actor, local_ip_id)
    found = tx.select(LocalIpAssociation, {"local_ip_id": local_ip_id}, order=("created_at", "id"))
    ports = {port.id: port for port in tx.select(Port, {"id": {one.fixed_port_id for one in found}})} if found else {}
    return [_shown(local_ip, one, ports[one.fixed_port_id]) for one in found]


def get_association(tx: Tx, actor: Actor, local_ip_id: str, port_id: str) -> Shown:
    """Raises NotFound."""
    local_ip = LOCAL_IPS.find(tx, actor, local_ip_id)
    one = _association(tx, local_ip_id, port_id)
    port = tx.get(Port, port_id)
    assert port is not None
    return _shown(local_ip, one, port)


def create_association(tx: Tx, actor: Actor, local_ip_id: str, wanted: Mapping[str, Any]) -> Shown:
    """Raises NotFound, Forbidden, BadRequest, Conflict for a second one with the same port."""
    local_ip = LOCAL_IPS.find(tx, actor, local_ip_id)
    require(actor, "create_local_ip_port_association", Target(local_ip.project_id))
    port = PORTS.find(tx, actor, wanted["fixed_port_id"])
    if tx.select(LocalIpAssociation, {"local_ip_id": local_ip_id, "fixed_port_id": port.id}, limit=1):
        raise Conflict(
            f"Local IP {local_ip_id} association with port {port.id} already exists.", "LocalIPAssociationExists"
        )
    one = LocalIpAssociation(
        id=new_id(),
        project_id=local_ip.project_id,
        created_at=tx.now,
        updated_at=tx.now,
        local_ip_id=local_ip_id,
        fixed_port_id=port.id,
        fixed_ip=_address(port, wanted["fixed_ip"]),
    )
    tx.insert(one)
    return _shown(local_ip, one, port)


def delete_association(tx: Tx, actor: Actor, local_ip_id: str, port_id: str, _expected: int | None = None) -> None:
    """Raises NotFound, Forbidden."""
    local_ip = LOCAL_IPS.find(tx, actor, local_ip_id)
    require(actor, "delete_local_ip_port_association", Target(local_ip.project_id))
    tx.delete(_association(tx, local_ip_id, port_id))


def _invalid(message: str, kind: str) -> BadRequest:
    return BadRequest(f"{message}.", kind)


def _hold(tx: Tx, actor: Actor, id_: str, wanted: Mapping[str, Any]) -> Port:
    """A port that holds the address."""
    network = NETWORKS.find(tx, actor, wanted["network_id"])
    place = place_for(tx, network.id)
    if not any(subnet.ip_version == 4 for subnet in place[network.id].subnets):
        raise BadRequest(f"Bad local_ip request: Network {network.id} does not contain any IPv4 subnet.", "BadRequest")
    ip = wanted["local_ip_address"]
    if ip:
        require(actor, "create_port:fixed_ips:ip_address", Target(wanted["project_id"], network.project_id))
    values = {
        "project_id": wanted["project_id"],
        "network_id": network.id,
        "mac_address": new_mac(tx.settings.mac_prefix),
        "device_id": id_,
        "device_owner": OWNER,
        "port_security": False,
        "status": NOT_APPLICABLE,
        **({"fixed_ips": (WantedIp(None, ip),)} if ip else {}),
    }
    return make_ports(tx, place, [values])[0]


def _address(port: Port, asked: str | None) -> str:
    """The one that is asked for, or the only one. Raises BadRequest."""
    ips = [fixed.ip for fixed in port.fixed_ips]
    if not ips:
        raise _invalid(f"Specified Port {port.id} has no fixed IPs configured", "LocalIPNoIP")
    if asked and asked not in ips:
        raise _invalid(
            f"Specified Port {port.id} does not have requested IP address: {asked}", "LocalIPRequestedIPNotFound"
        )
    if not asked and len(ips) > 1:
        raise _invalid(
            f"Specified Port {port.id} has several IPs, should specify exact IP address to use for Local IP",
            "LocalIPNoRequestedIP",
        )
    return asked or ips[0]


def _association(tx: Tx, local_ip_id: str, port_id: str) -> LocalIpAssociation:
    found = tx.select(LocalIpAssociation, {"local_ip_id": local_ip_id, "fixed_port_id": port_id})
    if not found:
        raise NotFound(
            f"Local IP {local_ip_id} association with port {port_id} could not be found.", "LocalIPAssociationNotFound"
        )
    return found[0]


def _shown(local_ip: LocalIp, one: LocalIpAssociation, port: Port) -> Shown:
    return Shown(one, {"local_ip_address": local_ip.local_ip_address, "host": port.binding_host})
