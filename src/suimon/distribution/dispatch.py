"""The one task that follows the change log: it reads what is new once, and appends it to the streams that it concerns.

A host is linked in two steps: its first frame is read at some revision while others are served; then, between two
batches of the log, what it lacks up to the dispatcher's own revision is read, and from then on it is told with the
others. So no revision is missed or told out of order. What a host need not know yet waits in its stream (`Gathering`).

Revisions can be compared within one epoch only. When a host holds more than the store ever said, the store was put
back to an older copy of itself, and the same revisions will mean other things from now on: a new epoch begins at once,
before they reach what any host holds of the lost ones.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable
from itertools import islice
from random import uniform
from typing import Final

import msgspec
import structlog
from sqlalchemy import and_, bindparam, exists, select

from suimon.distribution import frames
from suimon.distribution.admission import Admission
from suimon.distribution.config import DistributionConfig
from suimon.distribution.difference import (
    LED_ANEW,
    MOVED,
    RESCOPING,
    RESCOPING_IMPLIED,
    Difference,
    Held,
    differences,
    implied,
)
from suimon.distribution.frames import Origin
from suimon.distribution.gateways import Attached, Leading, leaders
from suimon.distribution.links import Gathering, Link, Links
from suimon.distribution.scopes import Scopes
from suimon.model.things import Host
from suimon.model.touches import WAY_OUT, Touch
from suimon.model.view import MOST_REQUESTS, Position
from suimon.store.changes import Change
from suimon.store.patience import patiently
from suimon.store.store import Store
from suimon.store.tables import PORTS, SUBPORTS
from suimon.store.tx import Tx

log = structlog.get_logger()

_SNAPSHOTS_TOGETHER: Final = 16
"""So many are read at once, and may be some megabytes each."""
_READS_AT_ONCE: Final = 2
_RETRY_S: Final = 1.0
"""While the database is away."""
_MOVING: Final = ("port", "parted")
_OF_PORTS: Final = frozenset({"port", "peer", "member"})
"""Kinds of entries about a port, the first for its own host."""
_MISSING_SCHEMA: Final = 7
"""From this one on hosts say which ports they miss (`Report.missing`)."""
_MOST_MISSING: Final = 1_000
_FRESH: Final = and_(PORTS.c.status_reason == "", ~exists().where(SUBPORTS.c.port_id == PORTS.c.id))
"""Its host said nothing of it yet, and would say so if it had its interface; a subport's is its trunk's."""
_DOWN: Final = select(PORTS.c.id, _FRESH).where(
    PORTS.c.id.in_(bindparam("wanted", expanding=True)), PORTS.c.status != "ACTIVE"
)


class _Told(msgspec.Struct, frozen=True):
    """A frame for one host, and what the host holds after it."""

    origin: Origin
    scopes: Scopes
    frame: bytes


class _Batch(msgspec.Struct, frozen=True):
    """What a part of the log means to the linked hosts: some start over with a snapshot, some lost their access."""

    revision: int
    differences: dict[str, Difference]
    requests: dict[str, tuple[str, ...]] = {}
    snapshots: frozenset[str] = frozenset()
    revoked: frozenset[str] = frozenset()
    hosts_changed: bool = False
    patient: frozenset[str] = frozenset()
    """Hosts that are told of nothing but ports that aren't up …"""
    down: frozenset[str] = frozenset()
    """… which are these."""
    ports: frozenset[str] = frozenset()
    """All that something happened to."""


class Dispatcher:
    """`run()` serves the links that `link()` makes. One for each controller."""

    def __init__(self, config: DistributionConfig, store: Store) -> None:
        self._config = config
        self._store = store
        self._links = Links()
        self._admission = Admission(config.snapshots_per_s, config.snapshot_burst, config.snapshot_pause_s)
        self._turn = asyncio.Lock()
        self._gathering = Gathering(config.gather_s)
        self._starting: dict[str, asyncio.Future[_Told | None]] = {}
        self._snapshots = asyncio.Semaphore(_READS_AT_ONCE)
        self._ready = asyncio.Event()
        self._attached = Attached()
        """As of the revision below: a change of them in the log begins another."""
        self._epoch_begun = False
        self._epoch = 0
        self.revision = 0
        self.host_changes = 0
        """Grows whenever the log says that some host was changed, or may have been."""

    async def run(self) -> None:
        with self._store.subscribe() as changed:
            try:
                _, self._epoch, self.revision = self._store.position()
                self._ready.set()
                while True:
                    await changed.wait()
                    changed.clear()
                    await patiently(self._follow_in_turn, "dispatcher", _RETRY_S)
            finally:
                self._ready.clear()
                self._links.close()

    async def link(self, host: Host, position: Position | None) -> Link | float:
        """A stream that begins with what the host lacks after `position`, or the seconds after which to ask again."""
        await self._ready.wait()
        if position:
            await self.notice(host.name, position)
        told = await self._store.read(lambda tx: self._since(tx, host, position)) if position else None
        if told is None:
            wait_s = self._admission.ask(host.name, time.monotonic())
            if wait_s:
                return wait_s * uniform(1.0, 1.2)
            told = await self._snapshot(host.name)
            if told is None:
                return uniform(0.1, 1.0)
        link = Link(host, self._config.backlog_bytes)
        link.send(told.frame)
        async with self._turn:
            if told.origin.epoch != self._store.position()[1]:
                return uniform(0.1, 1.0)
            if told.origin.revision < self.revision:
                origin = told.origin
                held = Position(origin.store, origin.epoch, origin.revision, tuple(told.scopes), host.schema)
                told = await self._store.read(lambda tx: self._since(tx, host, held))
                if told is None:
                    return uniform(0.1, 1.0)
                link.send(told.frame)
            link.revision = told.origin.revision
            link.hold(told.scopes)
            self._links.add(link)
        return link

    async def notice(self, host: str, shown: Position) -> None:
        """The host shows what it holds. If that is ahead of our store, the database was put back: begin a new epoch."""
        if _is_ahead(shown, self._store.position()):
            await self._begin_epoch(host, shown)

    def hear(self, ports: Collection[str]) -> None:
        """These ports are up: who waits to be told of them, is told."""
        self._gathering.hear(ports)

    def miss(self, host: str, port_ids: Iterable[str]) -> bool:
        """The host has interfaces of these ports, and was told nothing of them: it doesn't wait for company. False when
        it has no stream here.
        """
        link = self.get(host)
        if link:
            link.miss(frozenset(islice(port_ids, _MOST_MISSING)), time.monotonic())
        return link is not None

    def close(self, host: str) -> None:
        """End the host's stream, if it has one."""
        link = self._links.get(host)
        if link is not None:
            link.close()

    def get(self, host: str) -> Link | None:
        """The host's open stream."""
        link = self._links.get(host)
        return None if link is None or link.closed else link

    def linked(self) -> list[str]:
        """The hosts with an open stream."""
        return self._links.open_hosts()

    async def _snapshot(self, host: str) -> _Told | None:
        """Those who ask while others are read are read together: what they share is read and encoded once.

        None when the read that was to bring it came to nothing: ask again.
        """
        told = self._starting.setdefault(host, asyncio.get_running_loop().create_future())
        async with self._snapshots:
            while self._starting.get(host) is told:
                asking = {name: self._starting.pop(name) for name in [*islice(self._starting, _SNAPSHOTS_TOGETHER)]}
                await self._read_together(asking)
        return await asyncio.shield(told)

    async def _read_together(self, asking: dict[str, asyncio.Future[_Told | None]]) -> None:
        read: dict[str, _Told] = {}
        try:
            read = await self._store.read(lambda tx: self._wholes(tx, frozenset(asking)))
        finally:
            for name, told in asking.items():
                told.set_result(read.get(name))

    async def _begin_epoch(self, host: str, shown: Position) -> None:
        """Once in a process at most: a store is put back while none runs, so whoever is ahead of us later is lying."""
        async with self._turn:
            ours = await self._store.read(lambda tx: tx.position(), one_statement=True)
            if not _is_ahead(shown, ours):
                return
            if self._epoch_begun:
                log.warning("position_refused", host=host, epoch=shown.epoch, revision=shown.revision)
                return
            epoch = self._epoch = await self._store.begin_epoch()
            self._epoch_begun = True
            log.error(
                "older_database",
                meaning="The database was put back to an older state. Each host gets a whole view of it, and holds "
                "back one that deletes much: `suimon host list` shows them, `suimon host accept` lets them go on.",
                host=host,
                host_revision=shown.revision,
                revision=ours[2],
                epoch=epoch,
            )
            self._links.close()

    def _wholes(self, tx: Tx, hosts: frozenset[str]) -> dict[str, _Told]:
        """By host, all that it should hold; the same few statements for any number of hosts."""
        origin = Origin(*tx.position())
        known = {host.name: host for host in tx.select(Host, {"name": hosts})}
        told = differences(tx, {name: Held(host.schema) for name, host in known.items()}, known.keys(), ())

        def whole(host: Host, difference: Difference) -> _Told:
            scopes, accepted = frames.encode_scopes(difference.scopes), host.accepted_epoch == origin.epoch
            return _Told(origin, difference.scopes, frames.snapshot(origin, scopes, difference, accepted))

        return {name: whole(known[name], difference) for name, difference in told.items()}

    def _since(self, tx: Tx, host: Host, position: Position) -> _Told | None:
        """What happened after `position`; None when only a snapshot can tell."""
        store, epoch, newest = self._store.position()
        behind = newest - position.revision
        if (position.store, position.epoch) != (store, epoch) or behind > self._config.furthest_behind:
            return None
        if position.schema < host.schema:
            return None
        changes = tx.changes_after(position.revision)
        if changes is None:
            return None
        held = Held(host.schema, frozenset(position.scopes))
        entries = implied(tx, _relevant(changes, held.scopes.__contains__))
        difference = differences(tx, {host.name: held}, {host.name}, entries)[host.name]
        origin = Origin(store, epoch, changes[-1].revision if changes else position.revision)
        requests = _requests(changes, lambda scope: [host.name] if scope in held.scopes else []).get(host.name, ())
        frame = frames.delta(origin, frames.encode_scopes(difference.scopes), difference, requests)
        return _Told(origin, difference.scopes, frame)

    async def _follow_in_turn(self) -> None:
        async with self._turn:
            await self._follow()

    async def _follow(self) -> None:
        """Tell everybody concerned what happened since the last time."""
        if (
            self._store.position()[1] == self._epoch
            and (quiet := self._store.quiet_until(self.revision)) > self.revision
        ):
            self.revision = quiet  # Statuses, mostly: a port that comes up is told to nobody.
            return
        batch = await self._store.read(self._read_batch)
        store, epoch, newest = self._store.position()
        if batch is None or epoch != self._epoch:
            # The other reason: an epoch was begun, here or by another controller. Hosts come back for a snapshot of it.
            log.warning("log_overtaken", revision=self.revision, epoch=epoch)
            self._links.close()
            self._attached = Attached()
            self.host_changes += 1
            self._epoch, self.revision = epoch, newest
            return
        origin = Origin(store, epoch, batch.revision)
        for host, difference in batch.differences.items():
            link = self._links.get(host)
            assert link is not None, "links come and go between batches only"
            requests = None if host in batch.snapshots else batch.requests.get(host, ())
            self._tell(link, origin, difference, requests, wake=host not in batch.patient)
        self._gathering.hear(batch.ports)
        self._gathering.put(filter(None, map(self._links.get, batch.patient)), batch.down)
        for host in batch.revoked:
            self.close(host)
        self.host_changes += batch.hosts_changed
        self.revision = batch.revision

    def _tell(
        self, link: Link, origin: Origin, difference: Difference, requests: tuple[str, ...] | None, *, wake: bool
    ) -> None:
        """A delta that follows from these requests; without (None), a snapshot."""
        if link.closed:
            self._links.remove(link)
            return
        self._links.rescope(link, difference.scopes)
        if requests is None:
            link.send(frames.snapshot(origin, link.encoded_scopes, difference, accepted=True))
        elif difference.empty:
            return
        else:
            link.send(frames.delta(origin, link.encoded_scopes, difference, requests), wake=wake)
        link.revision = origin.revision

    def _read_batch(self, tx: Tx) -> _Batch | None:
        """Runs in a thread of the store's; the links don't change meanwhile. None: the log doesn't reach back to us."""
        changes = tx.changes_after(self.revision)
        if not changes:
            return None if changes is None else _Batch(self.revision, {})
        revision = changes[-1].revision
        raw = _relevant(changes, self._links.holders)
        entries = implied(tx, raw)
        if any(change.kind == "gateways" for change in changes):
            self._attached = Attached()
        # All holders of an external network hear of its routers otherwise, which concern two hosts each.
        come = leaders(tx, self._attached, {id_ for kind, id_, _ in entries if kind == WAY_OUT})
        entries -= {entry for entry in entries if entry[0] == WAY_OUT}
        concerned = self._holders(entries) | {link for host in come if (link := self._links.get(host))}
        late = {link.host: link for link in concerned if link.revision < revision}
        restarted = frozenset(link.host for link in self._holders(raw, {"accept"}) if link.host in late)
        rescoping = self._holders(raw, RESCOPING) | self._holders(entries, RESCOPING_IMPLIED)
        rescoped = {link.host for link in rescoping if link.host in late} | restarted | (come & late.keys())
        held = {
            host: Held(link.schema, frozenset() if host in restarted else link.scopes) for host, link in late.items()
        }
        leading = Leading(self._attached, None if restarted else _may_lead(changes, (late[host] for host in rescoped)))
        told = differences(tx, held, rescoped, entries, leading) if held else {}
        requests = _requests(changes, lambda scope: [link.host for link in self._links.holders(scope)])
        hosts_changed = any(change.kind == "host" for change in changes)
        unhurried = [link for link in late.values() if link.host not in rescoped]
        patient, down = _can_wait(tx, entries, unhurried, time.monotonic() - self._config.eager_s)
        ports = frozenset(change.id for change in changes if change.kind == "port")
        revoked = self._revoked(tx, changes)
        return _Batch(revision, told, requests, restarted, revoked, hosts_changed, patient, down, ports)

    def _holders(self, entries: Iterable[Touch], kinds: Collection[str] = ()) -> set[Link]:
        scopes = {scope for kind, _, scope in entries if not kinds or kind in kinds}
        return {link for scope in scopes for link in self._links.holders(scope)}

    def _revoked(self, tx: Tx, changes: Iterable[Change]) -> frozenset[str]:
        """Linked hosts that were removed, or got another credential."""
        touched = {change.id for change in changes if change.kind == "host"}
        links = [link for host in touched if (link := self._links.get(host))]
        if not links:
            return frozenset()
        valid = {host.name: host.credential_hash for host in tx.select(Host, {"name": {link.host for link in links}})}
        return frozenset(link.host for link in links if valid.get(link.host) != link.credential_hash)


def _can_wait(
    tx: Tx, entries: Collection[Touch], links: Iterable[Link], eager_since_s: float
) -> tuple[frozenset[str], frozenset[str]]:
    """Which of these hosts need know no more of what happened than ports that aren't up; and these ports.

    Without a guest, they have no traffic. One that is gone is missed at once: its addresses are let in no longer; and
    so is one that moved, which is down until its new host has reported it. Its own host waits for a port only before
    it has said anything of it, if it is no subport, and if the host neither has its interface nor has missed another
    one since `eager_since_s`.
    """
    urgent = {scope for kind, _, scope in entries if kind not in _OF_PORTS}
    ports = [(kind, id_.rpartition("/")[2], scope) for kind, id_, scope in entries if kind in _OF_PORTS]
    own: dict[str, set[str]] = {}
    for kind, id_, scope in ports:
        if kind == "port":
            own.setdefault(scope, set()).add(id_)

    def lets(link: Link) -> bool:
        ids = own.get(f"host:{link.host}")
        able = link.schema >= _MISSING_SCHEMA and link.missed_at_s < eager_since_s
        return ids is None or (able and link.missing.isdisjoint(ids))

    waiting = [link for link in links if urgent.isdisjoint(link.scopes) and lets(link)]
    if not waiting:
        return frozenset(), frozenset()
    moved = {id_ for kind, id_, _ in entries if kind == "parted"}
    rows = tx.rows(_DOWN, {"wanted": sorted({id_ for _, id_, _ in ports})})
    down = {str(id_): bool(fresh) for id_, fresh in map(tuple, rows) if id_ not in moved}
    fresh = {id_ for id_, is_fresh in down.items() if is_fresh}
    urgent = {scope for kind, id_, scope in ports if id_ not in (fresh if kind == "port" else down)}
    return frozenset(link.host for link in waiting if urgent.isdisjoint(link.scopes)), frozenset(down)


def _may_lead(changes: Iterable[Change], links: Iterable[Link]) -> frozenset[str] | None:
    """The routers that these hosts may lead out after the changes: what they did before, and what moved. None: any."""
    moved = set()
    for change in changes:
        if change.kind in LED_ANEW:
            return None
        if change.kind in MOVED:
            moved.add(change.id)
    held = {scope.removeprefix("router:") for link in links for scope in link.scopes if scope.startswith("router:")}
    return frozenset(held | moved)


def _is_ahead(shown: Position, ours: tuple[str, int, int]) -> bool:
    """Whether a host holds what our store, as it is now, has never said."""
    return shown.store == ours[0] and (shown.epoch, shown.revision) > ours[1:]


def _requests(changes: Iterable[Change], holders: Callable[[str], Collection[str]]) -> dict[str, tuple[str, ...]]:
    """Host → the API requests behind what it is told, each once, the first ones of many."""
    found: dict[str, dict[str, None]] = {}
    for change in changes:
        if change.scope and change.request_id:
            for host in holders(change.scope):
                requests = found.setdefault(host, {})
                if len(requests) < MOST_REQUESTS:
                    requests[change.request_id] = None
    return {host: tuple(requests) for host, requests in found.items()}


def _relevant(changes: Iterable[Change], held: Callable[[str], object]) -> set[Touch]:
    """Entries under scopes that are held, and those of ports and floating IPs, whose hosts have to be found first."""
    return {
        (change.kind, change.id, change.scope)
        for change in changes
        if change.scope and (held(change.scope) or change.scope.startswith("port:") or change.kind in _MOVING)
    }
