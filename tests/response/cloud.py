"""A cloud with a rulebook, responders, senses that a test sets, and clocks that it moves."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from suimon.model.actor import SYSTEM
from suimon.model.findings import Direction, Finding, Subject
from suimon.model.incidents import Entry, Incident
from suimon.model.report import Report, report
from suimon.model.rulebook import Place, UsageRule
from suimon.model.things import Port, Restriction
from suimon.resources.breaker import breaker, close_breaker
from suimon.resources.findings import note_findings
from suimon.resources.incidents import entries_between
from suimon.resources.rulebooks import newest, put_rulebook
from suimon.response.expiry import Expiry, ExpiryConfig
from suimon.response.responder import Responder, ResponderConfig
from suimon.response.senses import Looked, Rate, Verification
from tests.resources.world import ADMIN, World

SPAM = """
rules:
  - name: spam
    detector: mass_mail
    for: {everyone: true}
    but_for: {tags: ['operator:mailer']}
    do: {kind: port_block, protocol: tcp, port_min: 25, port_max: 25, lasts_h: 1}
    mode: MODE
"""


class Senses:
    """What counters would say."""

    def __init__(self) -> None:
        self.holds = True
        self.counted: list[Rate | None] = []
        """Those that are asked for next; None when there are no more."""
        self.clocks: dict[str, float] = {}
        self.bytes: dict[str, list[tuple[float, int]]] = {}
        """By port or project: when, and how many."""
        self.stuck = False
        self.bitten: Verification | None = None
        self.about: list[str | None] = []
        """The findings that were verified."""
        self.tries: bool | None = None
        """What hosts say when they are asked, if they can be."""
        self.asked = 0
        self.away = self.never_summed = False
        """Whether the meter's sums can't be had, or take forever."""

    async def look(self, finding: Finding, place: Place) -> Looked:
        if self.stuck:
            raise TimeoutError
        return Looked(self.holds, "counters of now")

    async def bites(
        self, finding: Finding | None, place: Place, wanted: Mapping[str, object], before: Sequence[Rate]
    ) -> Verification | None:
        self.about.append(finding.id if finding else None)
        return self.bitten

    async def goes_on(
        self, finding: Finding, place: Place, wanted: Mapping[str, object], *, reported: bool
    ) -> bool | None:
        self.asked += 1
        return self.tries

    async def rates(self, place: Place, direction: Direction, begun_s: float, ended_s: float) -> Sequence[Rate]:
        found = self.counted.pop(0) if self.counted else None
        return [found] if found else []

    async def used(self, rule: UsageRule, now_s: float) -> Mapping[str, int]:
        if self.away:
            raise TimeoutError
        if self.never_summed:
            await asyncio.Event().wait()
        since_s = now_s - rule.within_h * 3600.0
        return {id_: await self.used_since(rule, id_, since_s, now_s) for id_ in self.bytes}

    async def used_since(self, rule: UsageRule, id_: str, since_s: float, now_s: float) -> int:
        return sum(used for at, used in self.bytes[id_] if since_s <= at <= now_s)

    async def offsets(self) -> Mapping[str, float]:
        return self.clocks


class Cloud(World):
    """`ports` of one project on one network, all bound to h1."""

    def __init__(self, ports: int = 1, rules: str = SPAM, mode: str = "act", url: str = "") -> None:
        super().__init__(url=url)
        self.senses = Senses()
        self.unseen_s = 0.0
        """By how much the clock was set, and didn't pass."""
        self.host("h1")
        self.net = self.network()
        self.subnet(self.net, "10.0.0.0/16")
        first = self.port(self.net)
        self.write(lambda tx: tx.change(tx.get(Port, first["id"]), binding_host="h1"))
        self.ports = [first["id"], *self._more(ports - 1)]
        self.write_rules(rules.replace("MODE", "dry_run"))
        if mode != "dry_run":
            self.write_rules(rules.replace("MODE", mode))
        self.restart()

    def restart(self) -> None:
        """Of the controller, as far as the responder goes."""
        self.responder = self.another()

    def another(self) -> Responder:
        return Responder(ResponderConfig(), self.store, self.senses, monotonic=self.monotonic)

    def monotonic(self) -> float:
        return self.now().timestamp() - self.unseen_s

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def set_clock(self, by: timedelta) -> None:
        """Unlike `clock_ahead`, no time passes."""
        self.clock_ahead(by)
        self.unseen_s += by.total_seconds()

    def write_rules(self, text: str) -> None:
        self.write(lambda tx: put_rulebook(tx, ADMIN, text, "a test"))

    def rules_text(self) -> str:
        found = self.read(newest)
        return found.text if found else ""

    def round(self, *more: Responder) -> None:
        """Of the responder, and of others at the same time; and of what ends restrictions."""

        async def together() -> None:
            for step in (Responder.measure, Responder.round, Responder.care, Responder.mind):
                await asyncio.gather(*(step(each) for each in (self.responder, *more)))
            await Expiry(ExpiryConfig(), self.store).look()

        self.loop.run_until_complete(together())

    def find(self, port: str, number: int = 0, kind: str = "port", **values: Any) -> Finding:
        """A detector tells a finding about it, seen now."""
        finding = self.finding(port, number, kind, **values)
        self.write(lambda tx: note_findings(tx, SYSTEM, [finding]))
        return finding

    def finding(self, port: str, number: int = 0, kind: str = "port", **values: Any) -> Finding:
        """One that nobody was told of yet."""
        now_s = self.now().timestamp()
        told: dict[str, Any] = {
            "id": f"{port[:36]}/{number}",
            "detector": "mass_mail",
            "subject": Subject(kind, port),  # type: ignore[arg-type]
            "role": "source",
            "since_s": now_s - 20,
            "seen_s": now_s,
            "confidence": 0.95,
            "numbers": {"sessions_per_s": 50.0},
            "words": "It sends mail to 400 servers.",
            "evidence": ("src port 10.0.0.5 and dst port 25",),
        }
        return Finding(**{**told, **values})

    def incidents(self, **where: object) -> list[Incident]:
        return self.read(lambda tx: tx.select(Incident, where, order=("opened_at", "id")))

    def incident(self) -> Incident:
        (found,) = self.incidents()
        return found

    def timeline(self, id_: str) -> list[str]:
        entries = self.read(lambda tx: tx.select(Entry, {"incident_id": id_}, order=("number",)))
        return [entry.kind for entry in entries]

    def words(self, id_: str, kind: str) -> list[str]:
        return [
            e.words
            for e in self.read(lambda tx: tx.select(Entry, {"incident_id": id_}, order=("number",)))
            if e.kind == kind
        ]

    def report(self) -> Report:
        """Of what was said within an hour of now."""
        hour = timedelta(hours=1)
        return report(self.read(lambda tx: entries_between(tx, ADMIN, tx.now - hour, tx.now + hour)))

    def active(self) -> list[Restriction]:
        return self.read(lambda tx: tx.select(Restriction, {"state": "active"}, order=("id",)))

    def breaker_open(self) -> bool:
        found = self.read(breaker)
        return found is not None and found.is_open

    def close_breaker(self) -> None:
        self.write(lambda tx: close_breaker(tx, ADMIN, "looked at it"))

    def _more(self, count: int) -> list[str]:
        """Ports by the row: making 500 by the API takes longer than the tests do."""
        if count <= 0:
            return []
        one = self.read(lambda tx: tx.select(Port)[0])
        rows = []
        for n in range(count):
            mac = f"fa:16:3e:{n >> 16:02x}:{n >> 8 & 255:02x}:{n & 255:02x}"
            id_ = f"00000000-0000-4000-8000-{n:012x}"
            rows.append(msgspec.structs.replace(one, id=id_, mac_address=mac, fixed_ips=()))
        self.write(lambda tx: tx.insert_many(rows))
        return [row.id for row in rows]
