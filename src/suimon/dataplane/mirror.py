"""The rows of the Open vSwitch database that we look at, as structs, kept equal to it by its updates.

What the columns mean: ovs-vswitchd.conf.db(5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Generic, TypeVar

import msgspec

from suimon.dataplane.ovsdb import Row, TableUpdates, mapping, members, number, text

OWNER_KEY: Final = "suimon-owner"
"""The key in external_ids that says a row is ours, and whose it is (`kind/id`)."""
PORT_ID_KEY: Final = "iface-id"


class Bridge(msgspec.Struct, frozen=True):
    uuid: str
    name: str
    ports: frozenset[str]
    fail_mode: str
    protocols: frozenset[str]
    datapath_type: str
    owner: str
    exports: dict[str, str] = {}
    """By table of EXPORTS, the row of what it exports that way."""


class BridgePort(msgspec.Struct, frozen=True):
    """A row of the table Port."""

    uuid: str
    name: str
    interfaces: tuple[str, ...]
    qos: str
    owner: str


class Interface(msgspec.Struct, frozen=True):
    """`ofport` is None until the switch has taken it up, and -1 when it could not (`error` says why)."""

    uuid: str
    name: str
    type: str
    options: dict[str, str]
    ofport: int | None
    up: bool
    error: str
    port_id: str
    owner: str
    down: bool = False
    """Not the opposite of `up`: the database may not say."""
    ifindex: int | None = None
    """The kernel's number of the device, by which sFlow names it; another after the device was made anew."""


class Qos(msgspec.Struct, frozen=True):
    """`queues` are the rows of its queues, by their uuid."""

    uuid: str
    type: str
    settings: dict[str, str]
    queues: tuple[str, ...]
    owner: str


class Queue(msgspec.Struct, frozen=True):
    uuid: str
    settings: dict[str, str]
    owner: str


class ExportRow(msgspec.Struct, frozen=True):
    """A row of one of EXPORTS; `settings` are its other columns, as the database writes them."""

    uuid: str
    settings: Row
    owner: str


EXPORTS: Final = {"sFlow": "sflow", "IPFIX": "ipfix", "NetFlow": "netflow"}
"""By table, the column of a bridge that refers to its row."""

COLUMNS: Final = {
    "Open_vSwitch": ["next_cfg", "cur_cfg"],
    "Bridge": ["name", "ports", "fail_mode", "protocols", "datapath_type", "external_ids", *EXPORTS.values()],
    "Port": ["name", "interfaces", "qos", "external_ids"],
    "Interface": ["name", "type", "options", "ofport", "ifindex", "link_state", "error", "external_ids"],
    "QoS": ["type", "other_config", "queues", "external_ids"],
    "Queue": ["other_config", "external_ids"],
    "sFlow": ["targets", "agent", "sampling", "polling", "header", "external_ids"],
    "IPFIX": ["targets", "sampling", "cache_active_timeout", "cache_max_flows", "other_config", "external_ids"],
    "NetFlow": ["targets", "active_timeout", "external_ids"],
}

SPARED: Final = {("Interface", name) for name in ("ifindex", "link_state", "error")}
"""What only tells more of an interface: a database may lack it."""

R = TypeVar("R")


class Table(Generic[R]):
    """Rows by uuid."""

    def __init__(self, make: Callable[[str, Row], R]) -> None:
        self.rows: dict[str, R] = {}
        self._make = make

    def __iter__(self) -> Iterator[R]:
        return iter(self.rows.values())

    def update(self, uuid: str, row: Row | None) -> None:
        if row is None:
            self.rows.pop(uuid, None)
        else:
            self.rows[uuid] = self._make(uuid, row)


class Mirror:
    """What the database holds of those tables. `asked` and `done` number the configurations: ovs-vswitchd has acted on
    all that was written up to `done`."""

    def __init__(self) -> None:
        self.asked = self.done = 0
        self.bridges: Table[Bridge] = Table(_bridge)
        self.ports: Table[BridgePort] = Table(_port)
        self.interfaces: Table[Interface] = Table(_interface)
        self.qos: Table[Qos] = Table(_qos)
        self.queues: Table[Queue] = Table(_queue)
        self.exports: dict[str, Table[ExportRow]] = {name: Table(_export) for name in EXPORTS}
        self._port_of: dict[str, str] = {}
        """By interface."""

    def update(self, updates: TableUpdates) -> set[str]:
        """Which interfaces are new, changed, gone or elsewhere since, by their uuid: what looks at these only costs by
        what happened, and not by how many guests are here.
        """
        ports = set(updates.get("Port", ()))
        touched = {*updates.get("Interface", ()), *self._interfaces_of(ports)}
        bridges = {uuid: self._ports_on(uuid) for uuid in updates.get("Bridge", ())}
        for gone in self._interfaces_of(ports):
            self._port_of.pop(gone, None)
        self._take(updates)
        self._port_of.update((interface, uuid) for uuid in ports for interface in self._interfaces_of([uuid]))
        ports.update(*(before ^ self._ports_on(uuid) for uuid, before in bridges.items()))
        return touched.union(self._interfaces_of(ports))

    def is_on(self, bridge: Bridge | None, interface_uuid: str) -> bool:
        return bridge is not None and self._port_of.get(interface_uuid) in bridge.ports

    def _take(self, updates: TableUpdates) -> None:
        tables: dict[str, Table[Any]] = {
            "Bridge": self.bridges,
            "Port": self.ports,
            "Interface": self.interfaces,
            "QoS": self.qos,
            "Queue": self.queues,
            **self.exports,
        }
        for row in updates.get("Open_vSwitch", {}).values():
            if row.new is not None:
                self.asked, self.done = number(row.new, "next_cfg") or 0, number(row.new, "cur_cfg") or 0
        for name, rows in updates.items():
            if name in tables:
                for uuid, row in rows.items():
                    tables[name].update(uuid, row.new)

    def _interfaces_of(self, ports: Iterable[str]) -> list[str]:
        found = filter(None, map(self.ports.rows.get, ports))
        return [interface for port in found for interface in port.interfaces]

    def _ports_on(self, bridge_uuid: str) -> frozenset[str]:
        bridge = self.bridges.rows.get(bridge_uuid)
        return bridge.ports if bridge else frozenset()

    def bridge(self, name: str) -> Bridge | None:
        return next((bridge for bridge in self.bridges if bridge.name == name), None)

    def port(self, name: str) -> BridgePort | None:
        return next((port for port in self.ports if port.name == name), None)

    def bridge_of(self, port: BridgePort) -> Bridge | None:
        return next((bridge for bridge in self.bridges if port.uuid in bridge.ports), None)

    def interfaces_on(self, bridge: Bridge) -> Iterator[tuple[BridgePort, Interface]]:
        """Every interface of a bridge, by its port."""
        for port_uuid in bridge.ports:
            port = self.ports.rows.get(port_uuid)
            for interface_uuid in port.interfaces if port else ():
                if port and (interface := self.interfaces.rows.get(interface_uuid)):
                    yield port, interface


def _bridge(uuid: str, row: Row) -> Bridge:
    return Bridge(
        uuid,
        text(row, "name"),
        frozenset(members(row, "ports")),
        text(row, "fail_mode"),
        frozenset(members(row, "protocols")),
        text(row, "datapath_type"),
        _external(row, OWNER_KEY),
        {table: uuid for table, column in EXPORTS.items() if (uuid := text(row, column))},
    )


def _port(uuid: str, row: Row) -> BridgePort:
    return BridgePort(uuid, text(row, "name"), members(row, "interfaces"), text(row, "qos"), _external(row, OWNER_KEY))


def _interface(uuid: str, row: Row) -> Interface:
    return Interface(
        uuid,
        name=text(row, "name"),
        type=text(row, "type"),
        options=mapping(row, "options"),
        ofport=number(row, "ofport"),
        up=text(row, "link_state") == "up",
        error=text(row, "error"),
        port_id=_external(row, PORT_ID_KEY),
        owner=_external(row, OWNER_KEY),
        down=text(row, "link_state") == "down",
        ifindex=number(row, "ifindex"),
    )


def _qos(uuid: str, row: Row) -> Qos:
    queues = tuple(mapping(row, "queues").values())
    return Qos(uuid, text(row, "type"), mapping(row, "other_config"), queues, _external(row, OWNER_KEY))


def _queue(uuid: str, row: Row) -> Queue:
    return Queue(uuid, mapping(row, "other_config"), _external(row, OWNER_KEY))


def _export(uuid: str, row: Row) -> ExportRow:
    settings = {name: value for name, value in row.items() if name != "external_ids"}
    return ExportRow(uuid, settings, _external(row, OWNER_KEY))


def _external(row: Row, key: str) -> str:
    return str(mapping(row, "external_ids").get(key, ""))
