"""The component: round by round, findings through the gate, and open incidents to their end."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from itertools import islice

import msgspec
import structlog

from suimon.model.actor import SYSTEM
from suimon.model.errors import CallerError, Unavailable
from suimon.model.findings import Direction, Finding, Subject
from suimon.model.incidents import Incident, NotedFinding
from suimon.model.rulebook import Place
from suimon.resources.alarms import tell_clock, tell_usage_late
from suimon.resources.breaker import open_breaker
from suimon.resources.collectors import SILENT_S, silent_collectors, tell_silent
from suimon.resources.findings import finding_of, live_findings
from suimon.resources.incidents import unattended
from suimon.resources.places import place_of
from suimon.resources.rulebooks import rulebook
from suimon.response.acts import Proposal, Seen, proposals, settle
from suimon.response.aftercare import AHEAD, attend, due, ends, is_reported, note_verification
from suimon.response.clock import ClockWatch
from suimon.response.senses import Looked, Rate, Senses, Verification
from suimon.response.usage import note_usage
from suimon.response.verify import verify
from suimon.store.leases import Turn, in_turn
from suimon.store.store import Store
from suimon.store.tx import Tx

log = structlog.get_logger()


class ResponderConfig(msgspec.Struct, frozen=True):
    """How often it looks, and at how much at once. A new finding wakes it; other changes do at most every `pause_s`."""

    round_s: float = 5.0
    pause_s: float = 0.25
    usage_every_s: float = 60.0
    usage_late_s: float = 600.0
    """When sums of usage come later than that, it is an alarm."""
    findings_at_once: int = 500
    look_timeout_s: float = 8.0
    at_once: int = 8
    """How many findings, and incidents, are looked at beside each other: a look takes about a second."""
    looks: int = 3
    """What does not hold is looked at again as often, a round later: who attacks may pause just then."""
    settles_s: float = 10.0
    """How soon after a restriction was made its effect can be measured."""


class Responder:
    """Acts on what `store` knows, when it is our `turn` (None: always)."""

    def __init__(
        self, config: ResponderConfig, store: Store, senses: Senses, turn: Turn | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._config = config
        self._store = store
        self._senses = senses
        self._turn = turn
        self._monotonic = monotonic
        self._clock = ClockWatch()
        self._offsets: Mapping[str, float] = {}
        self._began_s = monotonic()
        self._usage_at = self._minded_at = -math.inf
        self._summed_at: float | None = None
        """When usage was summed last, or is looked after since."""
        self._doubted = Counter[str]()
        """How often the second look did not hold, by what would become an incident."""

    async def run(self) -> None:
        """Until cancelled."""
        await in_turn(self._turn, self._work)

    async def _work(self) -> None:
        """What takes long for one incident keeps no finding waiting, and summing up what was used neither."""
        self._summed_at = None
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._find())
            tasks.create_task(self._again(self.care, self.mind))
            tasks.create_task(self._again(self.measure))

    async def _find(self) -> None:
        with self._store.subscribe({"finding"}) as changed:
            while True:
                changed.clear()
                revision = self._store.position()[2]
                try:
                    await self.round()
                except Unavailable as error:
                    log.warning("response_waits", reason=error.message)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._config.round_s):
                        await self._news(changed, revision)

    async def _again(self, *steps: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                for step in steps:
                    await step()
            except Unavailable as error:
                log.warning("response_waits", reason=error.message)
            await asyncio.sleep(self._config.round_s)

    async def _news(self, changed: asyncio.Event, revision: int) -> None:
        """Returns when there is a new finding. All else that changes is looked at every `round_s`."""
        while True:
            await changed.wait()
            changed.clear()
            with suppress(Unavailable):
                changes = await self._store.read(partial(Tx.changes_after, revision=revision), one_statement=True)
                if changes is None or any(change.kind == "finding" for change in changes):
                    return
                revision = changes[-1].revision if changes else revision
            await asyncio.sleep(self._config.pause_s)

    async def round(self) -> None:
        """All findings that something could be done about now. Raises Unavailable."""
        await self._mind_the_clock(await self._store.read(lambda tx: tx.now))
        self._offsets = await self._senses.offsets()
        page, live = await self._store.read(self._live), set[str]()
        while page:
            live |= {noted.id for noted in page}
            await self._beside(("finding", noted.id, self._consider(finding_of(noted))) for noted in page)
            last = page[-1]
            page = await self._store.read(lambda tx, last=last: self._live(tx, last))  # type: ignore[misc]
        for gone in [doubted for doubted in self._doubted if doubted.partition("/")[2] not in live]:
            del self._doubted[gone]

    async def measure(self) -> None:
        """What was used, if it is time to look: it becomes findings. Raises Unavailable."""
        now = await self._store.read(lambda tx: tx.now)
        if now.timestamp() - self._usage_at >= self._config.usage_every_s or now.timestamp() < self._usage_at:
            self._usage_at = now.timestamp()
            try:
                await note_usage(self._store, self._senses, now)
            except TimeoutError:
                log.warning("usage_not_summed", reason="the meter does not answer")
            else:
                self._summed_at = now.timestamp()

    async def mind(self) -> None:
        """Alarms, if it is time to look: of hosts' clocks, collectors, and sums that are late. Raises Unavailable."""
        now_s = (await self._store.read(lambda tx: tx.now)).timestamp()
        if 0 <= now_s - self._minded_at < self._config.usage_every_s:
            return
        self._minded_at = now_s
        await self._mind_the_hosts_clocks()
        await self._mind_the_collectors()
        if self._summed_at is None:
            self._summed_at = now_s
        late_s = now_s - self._summed_at - self._config.usage_every_s
        if late_s > self._config.usage_late_s and (await self._store.read(rulebook))[1].usage:
            await self._store.write(lambda tx: tell_usage_late(tx, late_s), SYSTEM)

    async def care(self) -> None:
        """What is due of all open incidents. Raises Unavailable."""
        due_now = await self._store.read(lambda tx: unattended(tx, AHEAD), one_statement=True)
        await self._beside(("incident", incident.id, self._attend(incident)) for incident in due_now)

    async def _beside(self, works: Iterable[tuple[str, str, Awaitable[None]]]) -> None:
        """Some at once, in order. Raises Unavailable when all of those have ended."""
        works = iter(works)
        while some := list(islice(works, self._config.at_once)):
            ended = await asyncio.gather(*(self._isolated(*one) for one in some), return_exceptions=True)
            for error in filter(None, ended):
                raise error

    async def _isolated(self, kind: str, id_: str, work: Awaitable[None]) -> None:
        """One thing that can't be done holds up no other."""
        try:
            await work
        except Unavailable:
            raise
        except CallerError as error:
            log.warning("response_refused", kind=kind, id=id_, reason=error.message)

    def _live(self, tx: Tx, after: NotedFinding | None = None) -> list[NotedFinding]:
        fresh = timedelta(seconds=rulebook(tx)[1].limits.fresh_s)
        return live_findings(tx, tx.now - fresh, self._config.findings_at_once, after)

    async def _consider(self, finding: Finding) -> None:
        for proposal in await self._store.read(lambda tx: proposals(tx, finding, self._offsets)):
            if proposal.decision.verdict != "skip":
                await self._settle(proposal)

    async def _settle(self, proposal: Proposal) -> None:
        finding, rule = proposal.finding, proposal.rule
        looked = await self._look(proposal) if proposal.decision.acts else None
        if looked is not None and looked.holds is False:
            self._doubted[doubt := f"{rule.name} {rule.mode}/{finding.id}"] += 1
            if self._doubted[doubt] < self._config.looks:
                log.info("finding_doubted", finding=finding.id, rule=rule.name, seen=looked.words)
                return
        seen = Seen(looked, proposal.offset_s)
        made = await self._store.write(lambda tx: settle(tx, finding.id, rule.name, seen), SYSTEM)
        if made is not None:
            log.info("finding_settled", finding=finding.id, rule=rule.name, incident=made.id, state=made.state)

    async def _look(self, proposal: Proposal) -> Looked:
        """What can't be looked at isn't acted on."""
        try:
            async with asyncio.timeout(self._config.look_timeout_s):
                return await self._senses.look(proposal.finding, proposal.place)
        except TimeoutError:
            return Looked(None, "the counters can't be read now")

    async def _attend(self, incident: Incident) -> None:
        # Asked by reading first: writing waits for the disk.
        tries = await self._tries(incident)
        if await self._store.read(lambda tx: due(tx, incident.id, tries=tries)) != "nothing":
            await self._store.write(lambda tx: attend(tx, incident.id, tries=tries), SYSTEM)
        now = await self._store.read(lambda tx: tx.now)
        if incident.verify_at is not None and incident.verify_at <= now:
            await self._verify(incident, now)

    async def _verify(self, incident: Incident, now: datetime) -> None:
        """By what is so since it was made, prolonged, or led to another host, and the minute before it was made."""
        made_at, verify_at = incident.restricted_at, incident.verify_at
        assert made_at is not None and verify_at is not None
        place = await self._store.read(lambda tx: place_of(tx, _subject(incident)))
        after_s = (await self._store.read(rulebook))[1].limits.verify_after_s
        settled = max(made_at, verify_at - timedelta(seconds=after_s)) + timedelta(seconds=self._config.settles_s)
        before = await self._rates(place, incident, made_at - timedelta(minutes=1), made_at)
        asked = await self._bites(incident, place, before)
        after = await self._rates(place, incident, settled, now) if asked is None and settled < now else []

        def note(tx: Tx) -> Incident | None:
            goes_on = is_reported(tx, incident, settled)
            found = asked or verify(incident.wanted, before, after, goes_on=goes_on)
            return note_verification(tx, incident.id, found)

        await self._store.write(note, SYSTEM)

    async def _bites(self, incident: Incident, place: Place, before: Sequence[Rate]) -> Verification | None:
        finding = await self._store.read(lambda tx: _finding(tx, incident.finding_id), one_statement=True)
        # A person may name a finding of a victim, and restrict who attacks it.
        about = finding if finding and finding.subject == _subject(incident) else None
        with suppress(TimeoutError):
            async with asyncio.timeout(self._config.look_timeout_s):
                return await self._senses.bites(about, place, incident.wanted, before)
        return None

    async def _tries(self, incident: Incident) -> bool | None:
        """Whether who is restricted goes on trying, asked when its time is nearly over; None: nobody can say."""
        if not await self._store.read(lambda tx: ends(tx, incident.id)):
            return None
        finding = await self._store.read(lambda tx: _finding(tx, incident.finding_id), one_statement=True)
        if finding is None:
            return None
        place, reported = await self._store.read(
            lambda tx: (place_of(tx, finding.subject), bool(is_reported(tx, incident)))
        )
        with suppress(TimeoutError):
            async with asyncio.timeout(self._config.look_timeout_s):
                return await self._senses.goes_on(finding, place, incident.wanted, reported=reported)
        return None

    async def _rates(self, place: Place, incident: Incident, begun: datetime, ended: datetime) -> list[Rate]:
        """In the ways that its restriction is about."""
        ways: tuple[Direction, ...] = ("egress", "ingress")
        found: list[Rate] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(self._config.look_timeout_s):
                for way in ways if place.ports else ():
                    if incident.wanted.get("direction") in (None, way):
                        found += await self._senses.rates(place, way, begun.timestamp(), ended.timestamp())
        return found

    async def _mind_the_hosts_clocks(self) -> None:
        limit_s = (await self._store.read(rulebook))[1].limits.clock_offset_s
        for host, offset_s in (await self._senses.offsets()).items():
            if abs(offset_s) > limit_s:
                await self._store.write(lambda tx, of=(host, offset_s): tell_clock(tx, *of), SYSTEM)  # type: ignore[misc]

    async def _mind_the_collectors(self) -> None:
        # While no controller was there, none of them could be heard.
        if self._monotonic() - self._began_s <= SILENT_S:
            return
        if await self._store.read(silent_collectors):
            await self._store.write(tell_silent, SYSTEM)

    async def _mind_the_clock(self, now: datetime) -> None:
        """Limits are counted by the hour: whoever sets the clock an hour ahead would forget what happened in it."""
        jumped_s = self._clock.jumped_s(now.timestamp(), self._monotonic())

        def mind(tx: Tx) -> None:
            if abs(jumped_s) > rulebook(tx)[1].limits.clock_offset_s:
                open_breaker(tx, SYSTEM, f"the controller's clock was set by {jumped_s:.0f} s")

        if abs(jumped_s) >= 1.0:
            await self._store.write(mind, SYSTEM)


def _subject(incident: Incident) -> Subject:
    return Subject(incident.subject_kind, incident.subject_id)  # type: ignore[arg-type]


def _finding(tx: Tx, id_: str) -> Finding | None:
    noted = tx.get(NotedFinding, id_)
    return finding_of(noted) if noted else None
