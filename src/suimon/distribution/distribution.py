"""What hosts ask of the controller, answered: to join, to be told, to be heard."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from ipaddress import ip_address
from itertools import islice
from typing import Any, Final, Protocol

import msgspec
import structlog
from sqlalchemy import and_, bindparam, func, select

from suimon.distribution.config import DistributionConfig
from suimon.distribution.dispatch import Dispatcher
from suimon.distribution.inquiry import Questions
from suimon.distribution.links import Link
from suimon.distribution.missed import Missed
from suimon.distribution.presence import HostState, Presence, Stream
from suimon.model.actor import SYSTEM
from suimon.model.counts import Metered, Reading
from suimon.model.errors import BadRequest, CallerError, Unauthorized
from suimon.model.things import Host
from suimon.model.view import SCHEMA, Claim, Drift, Exported, Join, Joined, PortReport, Report, Watch
from suimon.store.store import Store
from suimon.store.tables import PLUGS, PORT_BINDINGS, PORTS
from suimon.store.tx import Tx

log = structlog.get_logger()

OLDEST_SCHEMA: Final = 1
"""The oldest view schema that is still spoken."""
_NEWS_PAUSE_S: Final = 1.0
"""What many hosts have to say at once is written down at once."""
_MOST_LOGGED: Final = 10
_MOST_PORTS: Final = 10_000
_MOST_CLAIMS: Final = 1_000
_MOST_FAILURES: Final = 100
_MOST_DRIFTS: Final = 1_000
_OLDEST_DRIFT_S: Final = 30 * 86400.0
_LARGEST_COUNT: Final = 1 << 32
_LONGEST_REASON: Final = 1000
_METERED = PORTS.c.project_id, PORTS.c.network_id
_PLUGGED = func.coalesce(PLUGS.c.ifindex, 0), func.coalesce(PLUGS.c.exporter, "")
_BINDINGS = (
    select(PORTS.c.id, PORTS.c.binding_host, PORTS.c.status, PORTS.c.status_reason, *_METERED, *_PLUGGED)
    .select_from(PORTS.outerjoin(PLUGS, and_(PLUGS.c.port_id == PORTS.c.id, PLUGS.c.host == PORTS.c.binding_host)))
    .where(PORTS.c.id.in_(bindparam("ids", expanding=True)))
)
_WAITING = select(PORT_BINDINGS.c.port_id).where(
    PORT_BINDINGS.c.host == bindparam("host"), PORT_BINDINGS.c.port_id.in_(bindparam("ids", expanding=True))
)


class HostActs(Protocol):
    """The acts on hosts, which is what the module `resources.hosts` offers. Only acts write the store."""

    def secret_hash(self, secret: str) -> str: ...
    def require_join_token(self, tx: Tx, wanted: Join) -> object: ...
    def join_host(self, tx: Tx, wanted: Join, credential_hash: str) -> Host: ...
    def find_host(self, tx: Tx, credential: str) -> Host | None: ...
    def end_acceptance(self, tx: Tx, name: str) -> None: ...
    def note_schema(self, tx: Tx, name: str, schema: int) -> Host: ...
    def note_seen(self, tx: Tx, names: Collection[str]) -> None: ...
    def note_silent(self, tx: Tx, silent_after: timedelta, leading: Collection[str]) -> None: ...
    def note_states(self, tx: Tx, states: Mapping[str, str]) -> None: ...
    def noted_states(self, tx: Tx) -> dict[str, str]: ...
    def set_port_status(self, tx: Tx, host: str, reports: Iterable[PortReport]) -> object: ...
    def note_plugs(self, tx: Tx, host: str, plugs: Mapping[str, Exported]) -> None: ...
    def claims_to_note(self, tx: Tx, host: str, claims: Iterable[Claim]) -> Sequence[Claim]: ...
    def note_claims(self, tx: Tx, host: str, claims: Iterable[Claim]) -> object: ...
    def note_events(self, tx: Tx, host: str, drifts: Sequence[Drift]) -> None: ...


class Metering(Protocol):
    """Who adds up what hosts have counted (telemetry.meters.Meters). Waits for nothing."""

    def take(self, host: str, reading: Reading, ports: Mapping[str, Metered]) -> None: ...

    def take_last(self, host: str, reading: Reading, ports: Mapping[str, Metered]) -> None: ...


class Distribution:
    """`run()` follows the log; the rest answers hosts (through `application`) and operators."""

    def __init__(
        self,
        config: DistributionConfig,
        store: Store,
        acts: HostActs,
        clock: Callable[[], datetime] | None = None,
        passing: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self._store = store
        self._acts = acts
        self._clock = clock or store.now
        self.metering: Metering | None = None
        """Who gets to know what hosts counted, if anybody."""
        self.hear_clock: Callable[[str, float], None] | None = None
        """Is told by which host, and what time it is there (seconds since 1970)."""
        self._dispatcher = Dispatcher(config, store)
        patience_s = 3 * config.report_interval_s
        self._presence = Presence(patience_s, patience_s + config.note_hosts_every_s, passing)
        self._passing, self._begun_s = passing, passing()
        self._known: dict[str, Host] = {}
        """By the hash of their credentials, hosts that are as they were when `host_changes` was `_known_at`."""
        self._known_at = -1
        self._news = asyncio.Event()
        self.questions = Questions(config.question_timeout_s, self._dispatcher.get, store)
        self._missed = Missed(self._dispatcher.miss, store)

    async def run(self) -> None:
        """Until cancelled; every stream ends with it."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._dispatcher.run())
            tasks.create_task(self._note_hosts())
            tasks.create_task(self.questions.run())
            tasks.create_task(self._missed.run())

    @property
    def revision(self) -> int:
        """Up to where the log was told to all linked hosts."""
        return self._dispatcher.revision

    def now_s(self) -> float:
        """What time it is, in seconds since 1970."""
        return self._clock().timestamp()

    async def join(self, wanted: Join) -> Joined:
        """Raises what `join_host` raises, and BadRequest for a schema that isn't spoken here."""
        _check_schema(wanted.schema)
        # A stranger's guess is turned away before it takes a turn of those who write.
        await self._store.read(lambda tx: self._acts.require_join_token(tx, wanted), one_statement=True)
        credential = secrets.token_urlsafe(32)
        hashed = self._acts.secret_hash(credential)
        host = await self._store.write(lambda tx: self._acts.join_host(tx, wanted, hashed), SYSTEM)
        log.info("host_joined", host=host.name, tunnel_ip=host.tunnel_ip)
        return Joined(host.name, credential, self._store.position()[0])

    async def authenticate(self, credential: str) -> Host:
        """Whose credential it is. Raises Unauthorized.

        One SELECT, and none until the log says that a host was changed: a change that came after the SELECT is told by
        the log later, and one that the log told meanwhile keeps the answer from being remembered.
        """
        changes = self._dispatcher.host_changes
        if changes != self._known_at:
            self._known, self._known_at = {}, changes
        hashed = self._acts.secret_hash(credential)
        if hashed in self._known:
            return self._known[hashed]
        host = await self._store.read(lambda tx: self._acts.find_host(tx, credential), one_statement=True)
        if host is None:
            raise Unauthorized("This host's credential is not valid (any more): join again.")
        if changes == self._known_at == self._dispatcher.host_changes:
            self._known[hashed] = host
        return host

    async def watch(self, host: Host, asked: Watch) -> Link | float:
        """The host's stream, or the seconds after which to ask again. Raises BadRequest for a foreign schema."""
        _check_schema(asked.schema)
        if asked.schema != host.schema:
            host = await self._store.write(lambda tx: self._acts.note_schema(tx, host.name, asked.schema), SYSTEM)
        link = await self._dispatcher.link(host, asked.position)
        if isinstance(link, Link):
            self._presence.begin(host.name)
            log.info("host_linked", host=host.name, revision=link.revision)
        return link

    async def report(self, host: Host, report: Report) -> None:
        """Believe the host about its own ports, and about nothing else. Raises BadRequest for more than it can have."""
        read, dropped = (report.reading.ports, report.reading.dropped) if report.reading else ((), ())
        last = tuple(counts for reading in report.last_readings for counts in reading.ports)
        if max(len(report.ports), len(read), len(dropped), len(last), len(report.last_readings)) > _MOST_PORTS:
            raise BadRequest(f"A report speaks of {_MOST_PORTS} ports at most.")
        if len(report.drifts) > _MOST_DRIFTS:
            raise BadRequest(f"A report speaks of {_MOST_DRIFTS} drifts at most.")
        await self._missed.said(host.name, report.missing)
        # Before anything of it is written: each write brings a store that was put back closer to what hosts hold.
        await self._dispatcher.notice(host.name, report.position)
        said = [
            msgspec.structs.replace(each, reason=_plain(each.reason), exporter=_address(each.exporter))
            for each in report.ports
        ]
        ids = {each.port_id for each in report.ports}
        known = await self._bindings(ids | {each.port_id for each in (*read, *last)})
        refused = sorted(id_ for id_ in ids & known.keys() if known[id_][1] != host.name)
        for id_ in refused[:_MOST_LOGGED]:
            log.warning("report_refused", host=host.name, port=id_, bound_to=known[id_][1])
        own = known.keys() - refused
        news = [each for each in said if each.port_id in own and known[each.port_id][2:4] != _status(each)]
        plugs = {each.port_id: each.exported for each in said if each.port_id in own}
        plugs = {port_id: plug for port_id, plug in plugs.items() if Exported(*known[port_id][6:8]) != plug}
        if news or plugs:
            await self._store.write(lambda tx: self._note_ports(tx, host.name, news, plugs), SYSTEM)
            self._dispatcher.hear([each.port_id for each in news if each.status == "ACTIVE"])
        await self._note_claims(host.name, report.claims[:_MOST_CLAIMS])
        if host.accepted_epoch and not report.held and self._speaks_of_now(report):
            await self._store.write(lambda tx: self._acts.end_acceptance(tx, host.name), SYSTEM)
        report = _bounded(report)
        if self.hear_clock and report.clock_s:
            self.hear_clock(host.name, report.clock_s)
        if report.drifts:
            await self._store.write(lambda tx: self._acts.note_events(tx, host.name, report.drifts), SYSTEM)
        self._presence.refuse(host.name, len(refused))
        if self.metering and (report.reading or report.last_readings):
            await self._meter(self.metering, host.name, report, known)
        if self._presence.note(host.name, report, self._clock()):
            self._news.set()

    async def _meter(self, metering: Metering, host: str, report: Report, known: Mapping[str, tuple[Any, ...]]) -> None:
        """A port that came and went between two readings may have been here without being active."""
        elsewhere = {each.port_id for reading in report.last_readings for each in reading.ports} & known.keys()
        elsewhere -= {id_ for id_, row in known.items() if row[1] == host}
        waiting: set[str] = set()
        if elsewhere:
            values = {"host": host, "ids": sorted(elsewhere)}
            rows = await self._store.read(lambda tx: tx.rows(_WAITING, values), one_statement=True)
            waiting = {row[0] for row in rows}
        metered = {id_: Metered(row[4], row[5], row[1] == host or id_ in waiting) for id_, row in known.items()}
        for reading in report.last_readings:
            metering.take_last(host, reading, metered)
        if report.reading:
            metering.take(host, report.reading, metered)

    def _note_ports(self, tx: Tx, host: str, news: Sequence[PortReport], plugs: Mapping[str, Exported]) -> None:
        self._acts.set_port_status(tx, host, news)
        if plugs:
            self._acts.note_plugs(tx, host, plugs)

    async def _note_claims(self, host: str, claims: Sequence[Claim]) -> None:
        """Those that change nothing take no turn of those who write."""
        if claims and (news := await self._store.read(lambda tx: self._acts.claims_to_note(tx, host, claims))):
            await self._store.write(lambda tx: self._acts.note_claims(tx, host, news), SYSTEM)

    def left(self, link: Link) -> None:
        """The stream ended, by whichever side."""
        link.close()
        self._presence.left(link.host, Stream(self._clock(), link.revision, link.revision))

    def state(self, host: str, noted: str = "") -> HostState:
        """How a host is, from what it reported last and whether it listens.

        `noted` is what some controller wrote down of it, which counts where the host spoke to that one later. How far
        it is behind follows from its last report, whoever heard it, and from what it was told: as far as the log was
        followed where its stream is, if it has one.
        """
        return self._judged(self._presence.known(host, self._stream(host), _read(noted), self._clock()))

    def _stream(self, host: str) -> Stream | None:
        link = self._dispatcher.get(host)
        return Stream(self._clock(), link.revision, self._dispatcher.revision) if link else None

    def _judged(self, state: HostState) -> HostState:
        newest = self._store.position()[2]
        told, as_of = (state.stream.told, state.stream.followed) if state.linked and state.stream else (newest, newest)
        lag = 0 if state.revision is None else max(0, told - state.revision)
        return msgspec.structs.replace(state, lag_revisions=lag, lag_as_of=as_of)

    async def clock_offsets(self) -> dict[str, float]:
        """How many seconds the clock of each host that told it, to any controller, is ahead. Raises Unavailable."""
        noted = await self._store.read(self._acts.noted_states)
        states = (self.state(host, text) for host, text in noted.items())
        return {each.host: each.clock_offset_s for each in states if each.clock_offset_s is not None}

    async def _note_hosts(self) -> None:
        """Tells the store who was heard of and how they are, for all controllers: a few statements for all hosts.

        That is every now and then, and soon when a host holds something back or its switch refuses something.
        """
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), self.config.note_hosts_every_s)
                await asyncio.sleep(_NEWS_PAUSE_S)
            self._news.clear()
            # A host with nothing to report is heard of by its stream.
            names = self._presence.heard() | set(self._dispatcher.linked())
            streams = {name: self._stream(name) for name in names}
            try:
                if names:
                    before = await self._store.write(partial(self._note, streams), SYSTEM)
                else:
                    before = await self._store.read(self._acts.noted_states)
            except CallerError as error:
                log.warning("hosts_not_noted", reason=error.message)
                continue
            for name, noted in before.items():
                self.state(name, noted)  # How old a note is counts from when it was looked at.

    def _note(self, streams: Mapping[str, Stream | None], tx: Tx) -> dict[str, str]:
        """What was noted before, by all. `streams` are those that are open here, of whoever was heard of."""
        names, now = streams.keys(), self._clock()
        self._acts.note_seen(tx, names)
        # Whoever just began hasn't given them the time to say anything.
        if self._passing() - self._begun_s > self.config.silent_after_s:
            self._acts.note_silent(tx, timedelta(seconds=self.config.silent_after_s), self._presence.leading(names))
        before = self._acts.noted_states(tx)
        states = [
            self._judged(self._presence.known(name, stream, _read(before.get(name, "")), now))
            for name, stream in streams.items()
        ]
        self._acts.note_states(tx, {state.host: msgspec.json.encode(state).decode() for state in states})
        return before

    def _speaks_of_now(self, report: Report) -> bool:
        return (report.position.store, report.position.epoch) == self._store.position()[:2]

    async def _bindings(self, ids: set[str]) -> dict[str, tuple[Any, ...]]:
        """By port: (id, host, status, reason). A port that was deleted meanwhile is missing."""
        if not ids:
            return {}
        rows = await self._store.read(lambda tx: tx.rows(_BINDINGS, {"ids": sorted(ids)}), one_statement=True)
        return {row[0]: tuple(row) for row in rows}


def _check_schema(schema: int) -> None:
    if schema > SCHEMA:
        raise BadRequest(
            f"The agent speaks view schema {schema}, we only up to {SCHEMA}: upgrade the controller first."
        )
    if schema < OLDEST_SCHEMA:
        raise BadRequest(
            f"The agent speaks view schema {schema}, we none older than {OLDEST_SCHEMA}: upgrade the agent."
        )


def _read(noted: str) -> HostState | None:
    """None for what another version wrote in other words."""
    try:
        return msgspec.json.decode(noted, type=HostState) if noted else None
    except msgspec.MsgspecError:
        return None


def _bounded(report: Report) -> Report:
    """What is kept of a report, and shown to operators."""
    failures = islice(report.failures.items(), _MOST_FAILURES)
    return msgspec.structs.replace(
        report,
        held=_plain(report.held),
        failures={_plain(owner): _plain(why) for owner, why in failures},
        drifts=tuple(map(_plain_drift, report.drifts)),
        foreign=_plain(report.foreign),
        orphans=tuple(map(_plain, report.orphans[:_MOST_FAILURES])),
    )


def _plain_drift(drift: Drift) -> Drift:
    """An age is bounded, so that a time follows from it, and so are numbers, so that a database has room for them."""
    age_s = min(max(drift.age_s, 0.0), _OLDEST_DRIFT_S)
    words = {name: _plain(getattr(drift, name)) for name in ("owner", "example", "reason", "id", "by")}
    counts = {name: min(max(getattr(drift, name), 0), _LARGEST_COUNT) for name in ("missing", "changed", "extra")}
    return msgspec.structs.replace(drift, age_s=age_s, **words, **counts)


def _plain(text: str) -> str:
    """A host's words as one short line: they get to people's terminals, where control characters would act."""
    short = text[:_LONGEST_REASON]
    return short if short.isprintable() else "".join(each if each.isprintable() else " " for each in short)


def _address(text: str) -> str:
    """One address in its usual form, or nothing: collectors let in what a host says here."""
    try:
        return str(ip_address(text)) if "%" not in text else ""
    except ValueError:
        return ""


def _status(report: PortReport) -> tuple[str, str]:
    return report.status, report.reason
