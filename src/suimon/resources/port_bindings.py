"""Where else a port may be: bindings to further hosts, made and activated for live migration by Nova.

The active binding is the port's own; the others are rows besides, and their hosts are told of the port as well, so that
all is ready when the guest gets there. Activating one is a change of the port's host like any other: all hosts hear of
it under one revision.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from suimon.model.actor import Actor
from suimon.model.attributes import Shown, Target
from suimon.model.errors import BadRequest, Conflict, NotFound
from suimon.model.specs.port_bindings import PORT_BINDING
from suimon.model.things import Host, Port, PortBinding
from suimon.resources import trunk_bindings
from suimon.resources.ids import new_id
from suimon.resources.persona import RULES, require
from suimon.resources.port_details import vif
from suimon.resources.ports import MIGRATING, PORTS, rebind_port
from suimon.resources.resource import Asked
from suimon.store.tx import Tx

SPEC: Final = PORT_BINDING.governed_by(RULES)


def list_bindings(tx: Tx, actor: Actor, port_id: str) -> list[Shown]:
    """The active one first. Raises NotFound, Forbidden, BadRequest."""
    port = _port(tx, actor, port_id, "get_port_binding")
    others = tx.select(PortBinding, {"port_id": port_id}, order=("host",))
    active = [_shown(tx, port, _active(tx, port), "ACTIVE")] if port.binding_host else []
    return [*active, *(_shown(tx, port, other, "INACTIVE") for other in others)]


def get_binding(tx: Tx, actor: Actor, port_id: str, host: str) -> Shown:
    """Raises NotFound, Forbidden, BadRequest."""
    port = _port(tx, actor, port_id, "get_port_binding")
    if host and host == port.binding_host:
        return _shown(tx, port, _active(tx, port), "ACTIVE")
    return _shown(tx, port, _inactive(tx, port, host), "INACTIVE")


def create_binding(tx: Tx, actor: Actor, port_id: str, wanted: Mapping[str, Any]) -> Shown:
    """Active if the port has none yet. Raises NotFound, Forbidden, BadRequest, Conflict."""
    port = _port(tx, actor, port_id, "create_port_binding")
    made = _binding(tx, port, wanted["host"], wanted["vnic_type"], wanted["profile"])
    _require_no_other(tx, port, made.host)
    _require_bindable(tx, made)
    if not port.binding_host:
        return _shown(tx, rebind_port(tx, port, made), made, "ACTIVE")
    tx.insert(made)
    _followed(tx, port)
    return _shown(tx, port, made, "INACTIVE")


def update_binding(tx: Tx, actor: Actor, port_id: str, host: str, wanted: Mapping[str, Any]) -> Shown:
    """Another host, profile or type instead of what there is. Raises NotFound, Forbidden, BadRequest, Conflict."""
    port = _port(tx, actor, port_id, "update_port_binding")
    active = bool(host) and host == port.binding_host
    before = _active(tx, port) if active else _inactive(tx, port, host)
    values = {name: wanted[name] for name in ("host", "vnic_type", "profile") if wanted.get(name, ...) is not ...}
    values = {name: value for name, value in values.items() if getattr(before, name) != value}
    after = msgspec.structs.replace(before, **values)
    if "host" in values:
        _require_no_other(tx, port, after.host)
    _require_bindable(tx, after)
    if not values:
        return _shown(tx, port, before, "ACTIVE" if active else "INACTIVE")
    if active:
        return _shown(tx, rebind_port(tx, port, after), after, "ACTIVE")
    changed = tx.change(before, **values)
    _followed(tx, port)
    return _shown(tx, port, changed, "INACTIVE")


def delete_binding(tx: Tx, actor: Actor, port_id: str, host: str) -> None:
    """Without its active binding a port is unbound. Raises NotFound, Forbidden, BadRequest."""
    port = _port(tx, actor, port_id, "delete_port_binding")
    if host and host == port.binding_host:
        rebind_port(tx, port, _binding(tx, port, "", "normal", {}))
    else:
        tx.delete(_inactive(tx, port, host))
        _followed(tx, port)


def activate(tx: Tx, actor: Actor, asked: Asked) -> object:
    """The port goes over to this host, and where it was becomes inactive. Raises NotFound, Forbidden, Conflict."""
    port_id, host = asked.ids
    port = _port(tx, actor, port_id, "activate")
    if host and host == port.binding_host:
        raise Conflict(f"Binding for port {port_id} on host {host} is already active.", "PortBindingAlreadyActive")
    chosen = _inactive(tx, port, host)
    if port.binding_host:
        tx.insert(_active(tx, port))
    # The row of the host that is active now goes with the change of the port's host.
    after = rebind_port(tx, port, chosen)
    _followed(tx, after)
    return SPEC.render(_shown(tx, after, chosen, "ACTIVE"), actor)


def _followed(tx: Tx, port: Port) -> None:
    """The active host is told where else the port may be, and its trunk's subports may be there, too."""
    if port.binding_host:
        tx.touch("port", port.id, f"host:{port.binding_host}")
    trunk_bindings.wait_with_parent(tx, port)


def _port(tx: Tx, actor: Actor, port_id: str, act: str) -> Port:
    port = PORTS.find(tx, actor, port_id)
    require(actor, act, Target(port.project_id))
    if not port.device_owner.startswith(MIGRATING):
        raise BadRequest(
            f"Bad port request: Invalid port {port_id}. Operation only valid on compute and shared filesystem ports.",
            "BadRequest",
        )
    return port


def _binding(tx: Tx, port: Port, host: str, vnic_type: str, profile: dict[str, object]) -> PortBinding:
    return PortBinding(
        id=new_id(),
        project_id=port.project_id,
        created_at=tx.now,
        updated_at=tx.now,
        port_id=port.id,
        host=host,
        vnic_type=vnic_type,
        profile=profile,
    )


def _active(tx: Tx, port: Port) -> PortBinding:
    return _binding(tx, port, port.binding_host, port.binding_vnic_type, port.binding_profile)


def _inactive(tx: Tx, port: Port, host: str) -> PortBinding:
    found = tx.select(PortBinding, {"port_id": port.id, "host": host})
    if not found:
        raise NotFound(f"Binding for port {port.id} for host {host} could not be found.", "PortBindingNotFound")
    return found[0]


def _require_no_other(tx: Tx, port: Port, host: str) -> None:
    if host == port.binding_host or tx.select(PortBinding, {"port_id": port.id, "host": host}):
        raise Conflict(f"Binding for port {port.id} on host {host} already exists.", "PortBindingAlreadyExists")


def _require_bindable(tx: Tx, binding: PortBinding) -> None:
    """A guest that migrates to a host that is being emptied would have to go again: Nova chooses another one."""
    host = tx.get(Host, binding.host)
    if _vif(tx, binding)["vif_type"] != "ovs" or (host is not None and host.drained):
        raise Conflict(
            f"Binding for port {binding.port_id} on host {binding.host} could not be created or updated.",
            "PortBindingError",
        )


def _vif(tx: Tx, binding: PortBinding) -> Mapping[str, object]:
    known = bool(binding.host) and tx.get(Host, binding.host) is not None
    return vif(binding.host, binding.vnic_type, known=known)


def _shown(tx: Tx, port: Port, binding: PortBinding, status: str) -> Shown:
    profile = binding.profile if port.trusted is None else {**binding.profile, "trusted": port.trusted}
    return Shown(binding, {**_vif(tx, binding), "status": status, "profile": profile})
