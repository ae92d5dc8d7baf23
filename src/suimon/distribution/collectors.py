"""What collectors of flow records ask of the controller: to join, and which port is where."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol

import structlog
from sqlalchemy import bindparam, select

from suimon.model.actor import SYSTEM, Actor
from suimon.model.collectors import CollectorJoin, CollectorJoined, FailedDetector, MapAnswer, MappedPort, MapRequest
from suimon.model.errors import Unauthorized, Unavailable
from suimon.model.findings import Finding
from suimon.model.things import Collector, FloatingIp, Host, Port
from suimon.model.touches import UNPLUGGED
from suimon.model.view import Exported
from suimon.store.changes import Change
from suimon.store.store import Store
from suimon.store.tables import PLUGS
from suimon.store.tx import Tx

log = structlog.get_logger()

PATIENCE_S: Final = 20.0
"""How long a question waits for a change, at most."""
_HEARD_EVERY_S: Final = 30.0
_GATHER_S: Final = 0.2
"""What changes together is told together."""
_PLUGS: Final = select(PLUGS.c.port_id, PLUGS.c.host, PLUGS.c.ifindex, PLUGS.c.exporter)
_PLUGS_OF: Final = _PLUGS.where(PLUGS.c.port_id.in_(bindparam("ids", expanding=True)))


class CollectorActs(Protocol):
    """What the module `resources.collectors` offers."""

    def secret_hash(self, secret: str) -> str: ...
    def require_collector_token(self, tx: Tx, wanted: CollectorJoin) -> object: ...
    def join_collector(self, tx: Tx, wanted: CollectorJoin, credential_hash: str) -> Collector: ...
    def find_collector(self, tx: Tx, credential: str) -> Collector | None: ...
    def note_heard(self, tx: Tx, name: str, failed: Sequence[FailedDetector]) -> None: ...
    def note_findings(self, tx: Tx, actor: Actor, findings: Sequence[Finding]) -> object: ...


class Collectors:
    """Answers them on the hosts' listener. `clock` counts seconds that pass."""

    def __init__(self, store: Store, acts: CollectorActs, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._acts, self._clock = store, acts, clock
        self._heard_s: dict[str, float] = {}

    async def join(self, wanted: CollectorJoin) -> CollectorJoined:
        """Raises what `join_collector` raises."""
        await self._store.read(lambda tx: self._acts.require_collector_token(tx, wanted), one_statement=True)
        credential = secrets.token_urlsafe(32)
        hashed = self._acts.secret_hash(credential)
        made = await self._store.write(lambda tx: self._acts.join_collector(tx, wanted, hashed), SYSTEM)
        log.info("collector_joined", collector=made.name, url=made.url)
        return CollectorJoined(made.name, credential)

    async def authenticate(self, credential: str) -> Collector:
        """Whose credential it is. Raises Unauthorized."""
        found = await self._store.read(lambda tx: self._acts.find_collector(tx, credential), one_statement=True)
        if found is None:
            raise Unauthorized("This collector's credential is not valid (any more): join again.")
        return found

    async def heard(self, collector: Collector, failed: Sequence[FailedDetector] = ()) -> None:
        """It asks, and says which of its detectors threw lately: that is noted, now and then; if it can't be, the next
        time.
        """
        now_s, before_s = self._clock(), self._heard_s.get(collector.name)
        if before_s is not None and now_s - before_s < _HEARD_EVERY_S:
            return
        try:
            await self._store.write(lambda tx: self._acts.note_heard(tx, collector.name, failed), SYSTEM)
        except Unavailable as error:
            log.warning("collector_not_noted", collector=collector.name, reason=error.message)
        else:
            self._heard_s[collector.name] = now_s

    async def findings(self, found: Sequence[Finding]) -> None:
        """What a collector's detectors found. Raises BadRequest."""
        if found:
            await self._store.write(lambda tx: self._acts.note_findings(tx, SYSTEM, found), SYSTEM)

    async def ports(self, asked: MapRequest, patience_s: float = PATIENCE_S) -> MapAnswer:
        """What changed since; empty when nothing did for so long."""
        deadline = time.monotonic() + patience_s
        with self._store.subscribe() as changed:
            while True:
                since = asked
                told = await self._store.read(lambda tx: _since(tx, since))  # noqa: B023 (awaited at once)
                if told.whole or told.ports or told.gone or time.monotonic() >= deadline:
                    return told
                asked = told.position
                try:
                    async with asyncio.timeout(deadline - time.monotonic()):
                        await changed.wait()
                        await asyncio.sleep(_GATHER_S)
                except TimeoutError:
                    return told
                changed.clear()


def _since(tx: Tx, asked: MapRequest) -> MapAnswer:
    store, epoch, revision = tx.position()
    changes = tx.changes_after(asked.revision) if (asked.store, asked.epoch) == (store, epoch) else None
    if changes is None or any(change.kind == "host" for change in changes):
        # The address of a host is in all of its ports, and hosts rarely change.
        return MapAnswer(store, epoch, revision, True, tuple(_mapped(tx, None)))
    ids = {id_ for change in changes for id_ in _concerned(change)}
    ports = tuple(_mapped(tx, ids)) if ids else ()
    gone = sorted(ids - {port.id for port in ports})
    return MapAnswer(store, epoch, revision, False, ports, tuple(gone))


def _concerned(change: Change) -> list[str]:
    """The port that a line of the log says something new of."""
    if change.kind in ("port", "plug"):
        return [change.id]
    return [change.scope.removeprefix("port:")] if change.kind == "floating_ip" and change.scope else []


def _mapped(tx: Tx, ids: Collection[str] | None) -> list[MappedPort]:
    """All, or those of `ids` that are bound to a host; these cost what they are, not what the cloud is."""
    found = [
        port
        for port in tx.select(Port, {} if ids is None else {"id": ids})
        if port.binding_host and port.device_owner not in UNPLUGGED
    ]
    hosts = {
        host.name: host.tunnel_ip or "" for host in tx.select(Host, {"name": {port.binding_host for port in found}})
    }
    rows = tx.rows(_PLUGS, {}) if ids is None else tx.rows(_PLUGS_OF, {"ids": sorted(ids)})
    plugs = {(row[0], row[1]): Exported(int(row[2]), row[3]) for row in rows}
    floating = _floating(tx, ids)
    seated = [(port, plugs.get((port.id, port.binding_host), Exported())) for port in found]
    return [
        MappedPort(
            port.id,
            project_id=port.project_id,
            network_id=port.network_id,
            host=port.binding_host,
            exporter=plug.exporter or hosts.get(port.binding_host, ""),
            ifindex=plug.ifindex,
            mac=port.mac_address,
            addresses=(*(fixed.ip for fixed in port.fixed_ips), *floating.get(port.id, ())),
        )
        for port, plug in seated
    ]


def _floating(tx: Tx, ids: Collection[str] | None) -> dict[str, list[str]]:
    """By port, the floating IPs that lead to it: to its own, or to a virtual address that it holds."""
    columns = ({},) if ids is None else ({"port_id": ids}, {"holder_id": ids})
    leading = {each.id: each for where in columns for each in tx.select(FloatingIp, where)}
    found: dict[str, list[str]] = {}
    for each in leading.values():
        if behind := each.holder_id or each.port_id:
            found.setdefault(behind, []).append(each.floating_ip_address)
    return found
