"""A trunk's subports are where its parent is, and the trunk is as they all are."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

import msgspec

from suimon.model.things import FloatingIp, Port, PortBinding, Subport, Trunk
from suimon.model.touches import of_the_cloud
from suimon.resources import virtual_addresses
from suimon.resources.ids import new_id
from suimon.store.tx import Tx

SUBPORT_OWNER: Final = "trunk:subport"
"""The device owner of a bound subport, as Neutron's agents write it."""


def follow_parent(tx: Tx, parent: Port) -> None:
    """The parent is bound to another host, or to none, and its subports with it."""
    for trunk in tx.select(Trunk, {"port_id": parent.id}):
        seat(tx, parent, [each.port_id for each in tx.select(Subport, {"trunk_id": trunk.id})])
        note(tx, [trunk])


def seat(tx: Tx, parent: Port, subports: Collection[str]) -> None:
    """These ports belong to the parent's trunk now, wherever they were bound before."""
    for port in tx.select(Port, {"id": subports}) if subports else ():
        _bind(tx, port, parent.binding_host)
    _wait(tx, parent, subports)


def free(tx: Tx, subports: Collection[str]) -> None:
    """These ports belong to no trunk any more, and so to no host."""
    for port in tx.select(Port, {"id": subports}) if subports else ():
        _bind(tx, port, "")
    for waiting in tx.select(PortBinding, {"port_id": subports}) if subports else ():
        tx.delete(waiting)


def wait_with_parent(tx: Tx, parent: Port) -> None:
    """The parent may be at other hosts besides its own, and its subports with it."""
    for trunk in tx.select(Trunk, {"port_id": parent.id}):
        _wait(tx, parent, [each.port_id for each in tx.select(Subport, {"trunk_id": trunk.id})])


def note_ports(tx: Tx, changed: Iterable[Port]) -> None:
    """The status of these ports changed: so may that of the trunks that they are in."""
    ids = {port.id for port in changed}
    if not ids:
        return
    through = {each.trunk_id for each in tx.select(Subport, {"port_id": ids})}
    trunks = tx.select(Trunk, {"port_id": ids})
    note(tx, [*trunks, *(tx.select(Trunk, {"id": through - {trunk.id for trunk in trunks}}) if through else ())])


def note(tx: Tx, trunks: Iterable[Trunk]) -> None:
    """DOWN while its parent is, BUILD until the flows of all its subports are in, then ACTIVE."""
    for trunk in trunks:
        status = _status(tx, trunk)
        if status != trunk.status:
            tx.change(trunk, status=status)


def _status(tx: Tx, trunk: Trunk) -> str:
    parent = tx.get(Port, trunk.port_id)
    if parent is None or parent.status != "ACTIVE":
        return "DOWN"
    ids = {each.port_id for each in tx.select(Subport, {"trunk_id": trunk.id})}
    ports = tx.select(Port, {"id": ids}) if ids else []
    return "ACTIVE" if all(port.status == "ACTIVE" or not port.admin_state_up for port in ports) else "BUILD"


def _wait(tx: Tx, parent: Port, subports: Collection[str]) -> None:
    """Where the parent has bindings that aren't active, these ports have some, too, and nowhere else."""
    if not subports:
        return
    of_parent = tx.select(PortBinding, {"port_id": parent.id})
    wanted = {(port_id, each.host): each for port_id in subports for each in of_parent}
    there = {(each.port_id, each.host): each for each in tx.select(PortBinding, {"port_id": subports})}
    for gone in there.keys() - wanted.keys():
        tx.delete(there[gone])
    new = sorted(wanted.keys() - there.keys())
    tx.insert_many([msgspec.structs.replace(wanted[each], id=new_id(), port_id=each[0]) for each in new])
    for port_id in {each[0] for each in there.keys() ^ wanted.keys()}:
        tx.touch("port", port_id, f"host:{parent.binding_host}")


def _bind(tx: Tx, port: Port, host: str) -> None:
    owner = SUBPORT_OWNER if host else port.device_owner.removeprefix(SUBPORT_OWNER)
    if port.binding_host == host:
        # It is told how it is reached, which is in no row of its own.
        tx.touch("port", port.id, f"host:{host}")
    if (port.binding_host, port.device_owner) == (host, owner):
        return
    for floating_ip in tx.select(FloatingIp, {"port_id": port.id}) if port.status != "DOWN" else ():
        tx.change(floating_ip, status="DOWN")
    owned = {"device_owner": owner, "infrastructure": port.infrastructure and of_the_cloud(owner)}
    changed = tx.change(port, binding_host=host, status="DOWN", status_reason="", **owned)
    virtual_addresses.follow(tx, port, changed)
