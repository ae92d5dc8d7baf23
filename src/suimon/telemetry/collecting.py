"""The collector at work: datagrams become records, records get their port, detectors see them, files keep them.

Receiving never waits: what the writer has no room for is counted against its exporter, and a disk that is full, or a
server that is away, stops history only. What such a server did not take is held and tried again, less and less often.
What is in memory when the process is killed is lost: `segment_s` of records, or what is held, at most `most_waiting`.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final, Never, Protocol

import duckdb
import msgspec
import structlog

from suimon.detection.engine import Fault, Tally
from suimon.model.collectors import (
    SHARED,
    Answer,
    FailedDetector,
    MapAnswer,
    MappedPort,
    MapRequest,
    Question,
    Talk,
    TalkAsked,
)
from suimon.model.findings import Finding
from suimon.model.records import TOGETHER, Batch
from suimon.telemetry.flow.collector import Collector
from suimon.telemetry.flow.datagrams import Datagrams
from suimon.telemetry.flow.exporters import Allowed, Losses
from suimon.telemetry.flow.receiver import Receiver
from suimon.telemetry.history.engine import History, Lot
from suimon.telemetry.history.questions import answered
from suimon.telemetry.history.tagging import Tagger
from suimon.telemetry.history.talk import talk

log = structlog.get_logger()

_RETRY_S: Final = 2.0
_LOOK_EVERY_S: Final = 1.0
_LONGEST_RETRY_S: Final = 60.0
_GATHER_S: Final = 0.1
"""As detectors gather (`detection.records.Records`): then what came is looked at, though nothing follows."""
_LATELY_S: Final = 600.0
"""A detector that threw is told of for so long, though a controller heard of it: another one may not have noted it."""
_LONGEST: Final = 500
_MOST_AT_ONCE: Final = 100
_MOST_FINDINGS: Final = 1000
"""That wait while no controller can be told; detectors say again what goes on."""


class Detection(Protocol):
    """The detectors (`cli.watching.Watching`)."""

    def take(self, batch: Batch, tags: Sequence[MappedPort], now_s: float) -> list[Finding]:
        """`tags` is the table that `port` of the batch is an index into."""
        ...

    def look(self, now_s: float) -> list[Finding]: ...

    @property
    def tallies(self) -> Mapping[str, Tally]: ...

    @property
    def faults(self) -> Mapping[str, Fault]:
        """By detector, of those that have thrown."""
        ...


class PortMap(Protocol):
    """The controller, as a collector asks it (`telemetry.port_map.Controller`)."""

    async def ports(self, asked: MapRequest) -> MapAnswer:
        """Raises OSError or TimeoutError when it can't be asked."""
        ...

    async def findings(self, found: Sequence[Finding]) -> None:
        """Raises the same."""
        ...


class Config(msgspec.Struct, frozen=True):
    """`allowed` may export besides the hosts of the cloud."""

    allowed: tuple[Allowed, ...] = ()
    segment_s: float = 20.0
    segment_records: int = 2 * TOGETHER
    most_waiting: int = 2_000_000
    question_timeout_s: float = 15.0
    freshen_s: float = 2.0
    """A question sees all records that are older than this."""


class Collecting:
    """`run()` until cancelled; then what is in memory is written."""

    def __init__(self, config: Config, decoder: Collector, history: History, port_map: PortMap | None) -> None:
        self._config, self._decoder, self._history, self._port_map = config, decoder, history, port_map
        self.detection: Detection | None = None
        self._troubles: dict[str, str] = {}
        """Why what is done for history could not be done when last tried, by what it is."""
        self.unkept = 0
        """Records that could not be written."""
        self.kept = 0
        self._fault = Fault(0, "", 0.0)
        """Of what detectors share; their own they count."""
        self._untold = Counter[str]()
        self._findings: dict[str, Finding] = {}
        self._found = asyncio.Event()
        self._gathered = asyncio.Event()
        self.mapped = asyncio.Event()
        """It is known which port is where."""
        self._tagger = Tagger((), ())
        self._waiting: list[tuple[Batch, Tagger]] = []
        self._count = 0
        self._held: deque[Lot] = deque()
        self._held_count, self._retry_s, self._retry_at = 0, 0.0, 0.0
        self._full, self._writing, self._wrote_at = asyncio.Event(), asyncio.Lock(), 0.0
        self._writer = ThreadPoolExecutor(1, "writer")
        """Always the same thread, as each has memory of its own, which the kernel clears for it."""

    @property
    def history_error(self) -> str:
        """Why nothing is kept now, or nothing forgotten."""
        return next(iter(self._troubles.values()), "")

    def take(self, datagrams: Datagrams) -> None:
        """What the receiver's sink is."""
        batch = self._decoder.take(datagrams)
        if not len(batch):
            return
        if len(self._tagger.exporters) != len(self._decoder.exporters.table):
            self._tagger = self._tagger.hearing(self._exporters())
        tagged = self._tagger.tag(batch)
        if self.detection is not None:
            detection, ports = self.detection, self._tagger.ports
            self._detect(lambda now_s: detection.take(tagged, ports, now_s))
            self._gathered.set()
        if self._count + self._held_count + len(tagged) > self._config.most_waiting:
            self._decoder.exporters.unqueued(tagged)
            return
        self._waiting.append((tagged, self._tagger))
        self._count += len(tagged)
        if self._count >= self._config.segment_records:
            self._full.set()

    async def run(self, receiver: Receiver) -> Never:
        await asyncio.to_thread(self._history.open)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(receiver.run())
                tasks.create_task(self._write())
                tasks.create_task(self._tend())
                if self._port_map is not None:
                    tasks.create_task(self._follow(self._port_map))
                    tasks.create_task(self._tell(self._port_map))
                if self.detection is not None:
                    tasks.create_task(self._look(self.detection))
        finally:
            self._retry_at = 0.0
            await self._flush()
            self._give_up()
            self._history.close()
        raise AssertionError("none of the tasks ever ends")

    async def ask(self, question: Question) -> Answer:
        """Raises QuestionRefused, FilterError."""
        await self._freshen()
        return await asyncio.to_thread(answered, self._history, question, self._config.question_timeout_s)

    async def talk(self, asked: TalkAsked) -> Talk:
        """Raises QuestionRefused."""
        await self._freshen()
        return await asyncio.to_thread(talk, self._history, asked, self._config.question_timeout_s)

    def metrics(self, receiver: Receiver) -> Iterator[str]:
        """Prometheus's text format (version 0.0.4)."""
        exporters = self._decoder.exporters
        yield from _metric("records_kept", [("", self.kept)])
        yield from _metric("records_unkept", [("", self.unkept)])
        yield from _metric("records_waiting", [("", self._count + self._held_count)], "gauge")
        yield from _metric("history_stopped", [("", int(bool(self._troubles)))], "gauge")
        tallies = self.detection.tallies if self.detection else {}
        faults = {name: each.faults for name, each in tallies.items()} | {SHARED: self._fault.times}
        untold = {name: each.untold for name, each in tallies.items()}
        untold |= {name: untold.get(name, 0) + count for name, count in self._untold.items()}
        yield from _metric("detector_faults", _by_detector(faults))
        yield from _metric("findings_untold", _by_detector(untold))
        yield from _metric("socket_drops", [("", receiver.lost)])
        yield from _metric("stranger_datagrams", [("", exporters.strangers.total())])
        for name in Losses.__struct_fields__:
            values = [(f'{{exporter="{each.address}"}}', getattr(each.losses, name)) for each in exporters.table]
            yield from _metric(f"exporter_{name}", values)
        lost = [(f'{{exporter="{each.address}"}}', each.lost_on_the_way) for each in exporters.table]
        yield from _metric("exporter_lost_on_the_way", lost)

    def _detect(self, look: Callable[[float], list[Finding]]) -> None:
        """Detectors' troubles stay their own."""
        try:
            found = look(time.time())
        except Exception as error:
            self._fault = Fault(self._fault.times + 1, repr(error), time.time())
            log.exception("detectors_failed")
            return
        for each in found:
            self._findings[each.id] = each
        while len(self._findings) > _MOST_FINDINGS:
            dropped = self._findings.pop(next(iter(self._findings)))
            self._untold[dropped.detector] += 1
        if found:
            self._found.set()

    async def _look(self, detection: Detection) -> Never:
        """What came last is looked at soon, and what has ended is told when nothing comes, too."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await self._gathered.wait()
            self._gathered.clear()
            await asyncio.sleep(_GATHER_S)
            self._detect(detection.look)

    async def _tell(self, port_map: PortMap) -> Never:
        while True:
            await self._found.wait()
            self._found.clear()
            telling = list(self._findings.values())[:_MOST_AT_ONCE]
            try:
                await port_map.findings(telling)
            except (OSError, TimeoutError) as error:
                log.warning("findings_not_told", reason=str(error), waiting=len(self._findings))
                await asyncio.sleep(_RETRY_S)
            else:
                # One that was found again meanwhile is news.
                for each in telling:
                    if self._findings.get(each.id) is each:
                        del self._findings[each.id]
            if self._findings:
                self._found.set()

    async def _write(self) -> Never:
        while True:
            try:
                async with asyncio.timeout(self._config.segment_s):
                    await self._full.wait()
            except TimeoutError:
                pass
            await asyncio.sleep(max(0.0, self._retry_at - time.monotonic()))
            await self._flush()

    async def _tend(self) -> Never:
        """Beside what is written: to pack an hour takes longer than there is room for what comes."""
        while True:
            await asyncio.sleep(self._config.segment_s)
            await self._done("tend", self._history.tend, None)

    async def _freshen(self) -> None:
        if self._waiting and time.monotonic() - self._wrote_at > self._config.freshen_s:
            await self._flush()

    async def _flush(self) -> None:
        # What is being written is written to its end, and counted, though who waits for it is told to stop.
        await asyncio.shield(self._flushed())

    async def _flushed(self) -> None:
        async with self._writing:
            self._full.clear()
            if time.monotonic() < self._retry_at:
                return
            waiting, self._waiting, self._count, self._wrote_at = self._waiting, [], 0, time.monotonic()
            for tagger, batches in _by_tagger(waiting):
                number = secrets.randbits(48)
                self._held.append(Lot(batches, tagger.ports, tagger.exporters, time.time(), number))
            while self._held:
                lot = self._held[0]
                if await self._done("write", lambda: self._history.write(lot), self._writer):  # noqa: B023 (awaited)
                    self.kept += lot.records
                    self._retry_s = 0.0
                elif self._history.retries:
                    self._retry_s = min(max(_RETRY_S, 2 * self._retry_s), _LONGEST_RETRY_S)
                    self._retry_at = time.monotonic() + self._retry_s
                    break
                else:
                    self.unkept += lot.records
                self._held.popleft()
            # Only from now on, as what is written the first time is not what waits for room.
            self._held_count = sum(lot.records for lot in self._held)

    def _give_up(self) -> None:
        """What could not be written by the end."""
        self.unkept += self._held_count
        if self._held_count:
            log.error("records_lost", count=self._held_count, reason="history had not come back by the end")
        self._held.clear()
        self._held_count = 0

    async def _done(self, what: str, act: Callable[[], None], thread: Executor | None) -> bool:
        """History's troubles stay its own. Without a thread that it is for, any will do."""
        before = self.history_error
        try:
            await asyncio.get_running_loop().run_in_executor(thread, act)
        except (OSError, duckdb.Error) as error:
            self._troubles[what] = str(error).splitlines()[0] if str(error) else type(error).__name__
            if self.history_error != before:
                log.error("history_stopped", reason=self.history_error, effect="records are not kept; all else goes on")
            return False
        self._troubles.pop(what, None)
        if before and not self.history_error:
            log.info("history_goes_on")
        return True

    async def _follow(self, port_map: PortMap) -> Never:
        position, told = MapRequest(), ""
        while True:
            try:
                answer = await port_map.ports(msgspec.structs.replace(position, failed=self._failed()))
            except (OSError, TimeoutError) as error:
                if str(error) != told:
                    log.warning("controller_not_asked", reason=str(error), effect="records are tagged as they were")
                told = str(error)
                await asyncio.sleep(_RETRY_S)
                continue
            position, told = answer.position, ""
            if answer.whole or answer.ports or answer.gone:
                self._learn(answer)
            self.mapped.set()

    def _failed(self) -> tuple[FailedDetector, ...]:
        """Those that threw since it could have been told, at the least."""
        faults = {**(self.detection.faults if self.detection else {}), SHARED: self._fault}
        since_s = time.time() - _LATELY_S
        return tuple(
            FailedDetector(name, each.times, each.last[:_LONGEST])
            for name, each in sorted(faults.items())
            if each.times and each.at_s > since_s
        )

    def _learn(self, answer: MapAnswer) -> None:
        before = self._tagger
        if answer.whole:
            self._tagger = Tagger(answer.ports, self._exporters())
        else:
            self._tagger = before.after(answer.gone, answer.ports)
        if self._tagger.sources != before.sources:
            hosts = (Allowed(each, open_vswitch=True) for each in sorted(self._tagger.sources))
            self._decoder.exporters.allow((*self._config.allowed, *hosts))

    def _exporters(self) -> list[IPv4Address | IPv6Address]:
        return [each.address for each in self._decoder.exporters.table]


def _by_tagger(waiting: Iterable[tuple[Batch, Tagger]]) -> Iterator[tuple[Tagger, list[Batch]]]:
    found: dict[int, tuple[Tagger, list[Batch]]] = {}
    for batch, tagger in waiting:
        found.setdefault(id(tagger), (tagger, []))[1].append(batch)
    yield from found.values()


def _by_detector(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return [(f'{{detector="{name}"}}', count) for name, count in sorted(counts.items())]


def _metric(name: str, values: Sequence[tuple[str, Any]], kind: str = "counter") -> Iterator[str]:
    full = f"suimon_collector_{name}" + ("_total" if kind == "counter" else "")
    yield f"# TYPE {full} {kind}"
    for labels, value in values:
        yield f"{full}{labels} {value}"
