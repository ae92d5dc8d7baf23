"""The switch of this host as its database shows it: bridges made and kept, guests' interfaces seen coming and going."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, Never, TypeVar

import msgspec
import structlog

from suimon.dataplane import ovsdb
from suimon.dataplane.kernel import kernel_datapath
from suimon.dataplane.layout import Layout, changes, removal, wanted_ports
from suimon.dataplane.mirror import COLUMNS, SPARED, Bridge, Interface, Mirror
from suimon.dataplane.ovsdb import Operation, TableUpdates

log = structlog.get_logger()

V = TypeVar("V")


class Config(msgspec.Struct, frozen=True):
    """`datapath` auto means: the kernel's where there is one, else userspace."""

    rundir: Path = Path("/var/run/openvswitch")
    datapath: Literal["system", "netdev", "auto"] = "auto"
    timeout_s: float = 10.0

    @property
    def database(self) -> Path:
        return self.rundir / "db.sock"

    def management(self, bridge: str) -> Path:
        """Where a bridge takes OpenFlow connections."""
        return self.rundir / f"{bridge}.mgmt"


class Plugged(msgspec.Struct, frozen=True):
    """A guest's interface. `ofport` is None while the switch has not taken it up; `error` says when it can't."""

    port_id: str
    interface: str
    ofport: int | None
    up: bool
    error: str = ""
    ifindex: int | None = None
    type: str = ""
    """As Open vSwitch calls it; empty: a device of the kernel's."""


class Link(msgspec.Struct, frozen=True):
    """An interface of ours: tunnel, patch port, uplink."""

    name: str
    ofport: int | None
    error: str = ""
    down: bool = False
    """It has no carrier, or is not up."""


class Seen(msgspec.Struct, frozen=True):
    """What changed since the last look, by port id and by interface name; None means gone."""

    plugged: dict[str, Plugged | None] = {}
    links: dict[str, Link | None] = {}


class Switch:
    """`run()` connects and follows the database until it closes, then ends with an exception.

    `plugged` (by port id), `links` (by name) and `mirror` are what it holds now; `changed()` waits for the next
    difference. Everything waits for the first complete read. Copy what is to stay as it was.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self.mirror = Mirror()
        self.plugged: dict[str, Plugged] = {}
        self.links: dict[str, Link] = {}
        self._guests: dict[str, Interface] = {}
        """By its uuid, each guest's interface on the bridge, as it was looked at last."""
        self._claims: dict[str, dict[str, Interface]] = {}
        """The same by port id."""
        self._names: dict[str, str] = {}
        """By its uuid, what is in `links`."""
        self._seen = Seen()
        self._read = False
        self._ended = False
        self._updated = asyncio.Event()
        self._writing = asyncio.Lock()
        self._layout = Layout()
        self._connection = ovsdb.Connection(
            ovsdb.Config(timeout_s=config.timeout_s), config.database, COLUMNS, self._take_updates, SPARED
        )

    async def run(self) -> Never:
        """Raises OSError when the database can't be reached, ConnectionError when it goes."""
        try:
            await self._connection.run()
        finally:
            self._ended = True
            self._updated.set()

    async def ensure(self, layout: Layout) -> None:
        """Make the layout true and wait until the switch has taken it up; writes nothing when it is.

        Raises LayoutRefused, ovsdb.TransactionRefused, or TimeoutError when ovs-vswitchd doesn't follow.
        """
        async with self._writing:
            asked = await self._write(layout)
        await self._took_up(layout, asked)

    async def repair(self, layout: Layout) -> list[str]:
        """As `ensure`: what it wrote, in words. What another call is just about to write is none of it."""
        async with self._writing:
            if wrong := self.differences(layout):
                asked = await self._write(layout)
        if wrong:
            await self._took_up(layout, asked)
        return wrong

    def differences(self, layout: Layout) -> list[str]:
        """What `ensure` would write, in words. Raises LayoutRefused."""
        operations = changes(layout, self.mirror, self.datapath_type)
        return [f"{operation['op']} in table {operation['table']}" for operation in operations]

    async def reopen(self, name: str, layout: Layout) -> None:
        """Make the switch take up a port of the layout anew: its device was made anew, under the same name.

        ovs-vswitchd goes on with the socket of the old device, in the userspace datapath, and hears nothing any more.
        """
        async with self._writing:
            await self.ready()
            if operations := removal(name, self.mirror):
                await self._connection.transact([*operations, _NEXT_CONFIGURATION])
            await self._acted_on(self.mirror.asked)
            asked = await self._write(layout)
        await self._took_up(layout, asked)

    async def transact(self, operations: Sequence[Operation]) -> None:
        """Write to the database and wait until ovs-vswitchd has acted on it; the mirror shows it when this returns.

        The commit alone says only that the database knows: a limit is not in force before the daemon has set it up.
        """
        async with self._writing:
            await self.ready()
            await self._connection.transact([*operations, _NEXT_CONFIGURATION])
            asked = self.mirror.asked
        await self._acted_on(asked)

    async def ready(self) -> None:
        """Until the database has been read once, whole."""
        await self._until(lambda: self._read, self._config.timeout_s)

    async def changed(self) -> Seen:
        """What guests' interfaces and our links did since this was last asked; waits until there is something.

        The first answer is all there is. Several changes of one interface come as the last of them. For one caller.
        """
        await self._until(lambda: bool(self._seen.plugged or self._seen.links), None)
        seen, self._seen = self._seen, Seen(plugged={}, links={})
        return seen

    def datapath_of(self, bridge: str) -> str:
        """`system` or `netdev`, as the bridge has it; while there is none, as it would be made."""
        found = self.mirror.bridge(bridge)
        return found.datapath_type or "system" if found else self.datapath_type

    @property
    def datapath_type(self) -> str:
        if self._config.datapath != "auto":
            return self._config.datapath
        return "system" if kernel_datapath() else "netdev"

    async def _write(self, layout: Layout) -> int:
        """What the layout lacks, by who holds `_writing`: the configuration that the switch has to act on."""
        await self.ready()
        self._layout = layout
        if operations := changes(layout, self.mirror, self.datapath_type):
            await self._connection.transact([*operations, _NEXT_CONFIGURATION])
            log.info("layout_written", bridges=layout.bridges, operations=len(operations))
        self._look({*self.mirror.interfaces.rows, *self._guests, *self._names})
        return self.mirror.asked

    async def _took_up(self, layout: Layout, configuration: int) -> None:
        await self._acted_on(configuration)
        try:
            await self._until(lambda: self._taken_up(layout), self._config.timeout_s)
        except TimeoutError as error:
            raise TimeoutError("ovs-vswitchd did not take up the bridges in time: is it running?") from error

    def _take_updates(self, updates: TableUpdates) -> None:
        touched = self.mirror.update(updates)
        self._read = True
        self._look(touched)
        self._updated.set()

    def _look(self, uuids: Collection[str]) -> None:
        """Compare what these interfaces plug and link now with what they did, and remember the difference until
        somebody asks.
        """
        bridge = self.mirror.bridge(self._layout.integration)
        for port_id in {port_id for uuid in uuids for port_id in self._claimed(bridge, uuid)}:
            now = _plugged(port_id, self._claims[port_id].values()) if port_id in self._claims else None
            _note(self.plugged, self._seen.plugged, port_id, now)
        names = {port.name for port in wanted_ports(self._layout)}
        links: dict[str, Link | None] = {}
        for uuid in uuids:
            if gone := self._names.pop(uuid, ""):
                links.setdefault(gone, None)
            interface = self.mirror.interfaces.rows.get(uuid)
            if interface and (interface.name in names or (interface.owner and interface.type != "internal")):
                self._names[uuid] = interface.name
                links[interface.name] = Link(interface.name, _usable(interface), interface.error, interface.down)
        for name, link in links.items():
            _note(self.links, self._seen.links, name, link)

    def _claimed(self, bridge: Bridge | None, uuid: str) -> Iterator[str]:
        """The ports that the interface said it is, and says it is."""
        before, now = self._guests.pop(uuid, None), self.mirror.interfaces.rows.get(uuid)
        if before is not None:
            claims = self._claims[before.port_id]
            del claims[uuid]
            if not claims:
                del self._claims[before.port_id]
            yield before.port_id
        if now is not None and now.port_id and self.mirror.is_on(bridge, uuid):
            self._guests[uuid] = self._claims.setdefault(now.port_id, {})[uuid] = now
            yield now.port_id

    def _taken_up(self, layout: Layout) -> bool:
        """Every interface of the layout has a number, or an error that says why not."""
        names = {port.name for port in wanted_ports(layout)} | set(layout.bridges)
        found = {interface.name: interface for interface in self.mirror.interfaces if interface.name in names}
        return len(found) == len(names) and all(interface.ofport is not None for interface in found.values())

    async def _acted_on(self, configuration: int) -> None:
        try:
            await self._until(lambda: self.mirror.done >= configuration, self._config.timeout_s)
        except TimeoutError as error:
            raise TimeoutError("ovs-vswitchd did not act on the database in time: is it running?") from error

    async def _until(self, true: Callable[[], bool], timeout_s: float | None) -> None:
        async with asyncio.timeout(timeout_s):
            while not true():
                if self._ended:
                    raise ConnectionResetError("the database connection has ended")
                self._updated.clear()
                await self._updated.wait()


_NEXT_CONFIGURATION: Final[Operation] = {
    "op": "mutate",
    "table": "Open_vSwitch",
    "where": [],
    "mutations": [["next_cfg", "+=", 1]],
}
"""ovs-vswitchd copies next_cfg to cur_cfg once it has acted on a change (ovs-vswitchd.conf.db(5))."""


def _plugged(port_id: str, interfaces: Iterable[Interface]) -> Plugged:
    """Of several interfaces with one id, the one that works counts, then the first by name."""
    chosen, *others = sorted(interfaces, key=lambda one: (_usable(one) is None, one.name))
    for other in others:
        log.warning("port_plugged_twice", port=port_id, interface=other.name)
    usable = _usable(chosen)
    return Plugged(port_id, chosen.name, usable, chosen.up, chosen.error, chosen.ifindex, chosen.type)


def _usable(interface: Interface) -> int | None:
    return interface.ofport if interface.ofport is not None and interface.ofport > 0 else None


def _note(held: dict[str, V], changed: dict[str, V | None], key: str, now: V | None) -> None:
    if held.get(key) == now:
        return
    changed[key] = now
    if now is None:
        del held[key]
    else:
        held[key] = now
