"""What this host's switch is made of besides guests: bridges, the tunnel, patch ports, uplinks. Pure.

`changes` compares a layout with the mirror and gives the database operations that make it so; each row is made with our
mark, in the transaction that makes it, and a bridge fails closed from its first moment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from suimon.dataplane.exports import Export, export_changes
from suimon.dataplane.mirror import OWNER_KEY, Bridge, BridgePort, Interface, Mirror
from suimon.dataplane.ovsdb import Operation, as_map, as_set, named, reference, where_uuid
from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline.services import SERVICES_OFPORT

TUNNELS: Final = {kind: f"sm-{kind}" for kind in view.TUNNELS}
"""By kind of tunnel, the interface that all of that kind leave by."""
SERVICES: Final = "sm-services"
"""The veth that leads guests to the services of their host (dataplane.services makes it)."""
PROTOCOLS: Final = ("OpenFlow10", "OpenFlow13", "OpenFlow14", "OpenFlow15")
_LONGEST_NAME: Final = 15
"""A bridge is a network device too (IFNAMSIZ)."""


class Provider(msgspec.Struct, frozen=True):
    """A provider network of this host: `br-<physnet>` with `uplink`, a device that leads outside."""

    physnet: str
    uplink: str | None = None

    @property
    def bridge(self) -> str:
        return f"br-{self.physnet}"


class Layout(msgspec.Struct, frozen=True):
    """All that should exist; without `tunnel_ip` this host has no tunnels, otherwise those of the kinds `tunnels`."""

    integration: str = "br-int"
    providers: tuple[Provider, ...] = ()
    tunnel_ip: str | None = None
    tunnels: tuple[str, ...] = ()
    services: bool = False
    export: Export | None = None

    @property
    def bridges(self) -> tuple[str, ...]:
        return self.integration, *(provider.bridge for provider in self.providers)


class WantedPort(msgspec.Struct, frozen=True):
    """A port with one interface of the same name. `adopt`: somebody else may have put it on this bridge already."""

    bridge: str
    name: str
    type: str = ""
    options: Mapping[str, str] = {}
    adopt: bool = False
    ofport: int | None = None
    """The OpenFlow port number to ask for."""


class LayoutRefused(Exception):
    """Something that isn't ours stands where the layout wants something; str() says what to do."""


def wanted_ports(layout: Layout) -> Iterator[WantedPort]:
    for provider in layout.providers:
        inner, outer = f"int-{provider.physnet}", f"phy-{provider.physnet}"
        yield WantedPort(layout.integration, inner, "patch", {"peer": outer})
        yield WantedPort(provider.bridge, outer, "patch", {"peer": inner})
        if provider.uplink:
            yield WantedPort(provider.bridge, provider.uplink, adopt=True)
    if layout.services:
        yield WantedPort(layout.integration, SERVICES, ofport=SERVICES_OFPORT)
    if layout.tunnel_ip:
        options = {"remote_ip": "flow", "key": "flow", "local_ip": layout.tunnel_ip}
        for kind in layout.tunnels:
            yield WantedPort(layout.integration, TUNNELS[kind], kind, options)


def changes(layout: Layout, mirror: Mirror, datapath_type: str) -> list[Operation]:
    """What to do to the database; empty when all is so. Raises LayoutRefused."""
    operations: list[Operation] = []
    for name in layout.bridges:
        operations += _bridge_changes(name, mirror, datapath_type)
    for port in wanted_ports(layout):
        operations += _port_changes(port, mirror)
    operations += export_changes(layout.integration, layout.export, mirror)
    return operations


def insertion(port: WantedPort, owner: Owner) -> Iterator[Operation]:
    """Add a port that is not part of the layout, marked as the owner's."""
    yield from _insert_port(port, owner_mark(owner))


def port_removal(bridge: Bridge, port: BridgePort) -> Operation:
    deletion = [["ports", "delete", as_set([reference(port.uuid)])]]
    return {"op": "mutate", "table": "Bridge", "where": where_uuid(bridge.uuid), "mutations": deletion}


def removal(name: str, mirror: Mirror) -> list[Operation]:
    """What to do so that a port of ours is not there; empty when it isn't, or isn't ours."""
    port = mirror.port(name)
    bridge = mirror.bridge_of(port) if port and port.owner else None
    if port is None or bridge is None:
        return []
    return [_mutate("Bridge", where_uuid(bridge.uuid), "ports", "delete", reference(port.uuid))]


def owner_mark(owner: Owner) -> list[Any]:
    return as_map({OWNER_KEY: str(owner)})


def _bridge_changes(name: str, mirror: Mirror, datapath_type: str) -> Iterator[Operation]:
    settings = {
        "fail_mode": "secure",
        "protocols": as_set(PROTOCOLS),
        "datapath_type": datapath_type,
    }
    bridge = mirror.bridge(name)
    if bridge is not None:
        if not bridge.owner:
            raise LayoutRefused(
                f"bridge {name} exists and is not ours: remove it, or give it to us with"
                f" `ovs-vsctl set bridge {name} external_ids:{OWNER_KEY}=bridge/{name}`"
            )
        if not _as_wanted(bridge, datapath_type):
            yield {"op": "update", "table": "Bridge", "where": where_uuid(bridge.uuid), "row": settings}
        return
    if len(name) > _LONGEST_NAME:
        raise LayoutRefused(
            f"bridge name {name} is longer than {_LONGEST_NAME} characters: shorten the physical network"
        )
    row, mark = _row_name(name), owner_mark(Owner("bridge", name))
    yield _insert("Bridge", row, {"name": name, **settings, "external_ids": mark})
    yield _mutate("Open_vSwitch", [], "bridges", "insert", named(row))
    yield from _insert_port(WantedPort(name, name, "internal"), mark)


def _as_wanted(bridge: Bridge, datapath_type: str) -> bool:
    return (
        bridge.fail_mode == "secure"
        and bridge.protocols == frozenset(PROTOCOLS)
        and bridge.datapath_type == datapath_type
    )


def _port_changes(wanted: WantedPort, mirror: Mirror) -> Iterator[Operation]:
    port = mirror.port(wanted.name)
    if port is None:
        yield from _insert_port(wanted, owner_mark(Owner("bridge", wanted.bridge)))
        return
    bridge = mirror.bridge_of(port)
    if bridge is None or bridge.name != wanted.bridge:
        where = f"on bridge {bridge.name}" if bridge else "on no bridge"
        raise LayoutRefused(f"port {wanted.name} is {where}, not on {wanted.bridge}: remove it from there")
    if not port.owner and not wanted.adopt:
        raise LayoutRefused(f"port {wanted.name} on {wanted.bridge} is not ours: remove it")
    interface = mirror.interfaces.rows.get(port.interfaces[0]) if port.interfaces else None
    if port.owner and interface and not _interface_as_wanted(interface, wanted):
        settings = {"type": wanted.type, "options": as_map(wanted.options)}
        yield {"op": "update", "table": "Interface", "where": where_uuid(interface.uuid), "row": settings}


def _interface_as_wanted(interface: Interface, wanted: WantedPort) -> bool:
    return interface.type == wanted.type and interface.options == dict(wanted.options)


def _insert_port(wanted: WantedPort, mark: list[Any]) -> Iterator[Operation]:
    interface, port = _row_name(f"i-{wanted.name}"), _row_name(f"p-{wanted.name}")
    settings = {"name": wanted.name, "type": wanted.type, "options": as_map(wanted.options), "external_ids": mark}
    number = {} if wanted.ofport is None else {"ofport_request": wanted.ofport}
    yield _insert("Interface", interface, {**settings, **number})
    yield _insert("Port", port, {"name": wanted.name, "interfaces": named(interface), "external_ids": mark})
    yield _mutate("Bridge", [["name", "==", wanted.bridge]], "ports", "insert", named(port))


def _insert(table: str, row_name: str, row: dict[str, Any]) -> Operation:
    return {"op": "insert", "table": table, "uuid-name": row_name, "row": row}


def _mutate(table: str, where: list[Any], column: str, how: str, row: list[str]) -> Operation:
    return {"op": "mutate", "table": table, "where": where, "mutations": [[column, how, as_set([row])]]}


def _row_name(name: str) -> str:
    """A uuid-name is an identifier (RFC 7047, 3.1); names of devices may have more in them than that."""
    return "r" + name.encode().hex()
