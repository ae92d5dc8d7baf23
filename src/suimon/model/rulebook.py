"""What an operator lets happen by itself: which finding leads to which restriction, for whom, and how much at most.

Times are hours because people write them; `gb` is 10^9 bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from suimon.model.findings import Finding, Role, Subject
from suimon.model.specs.tags import OPERATORS

Mode = Literal["dry_run", "approve", "act"]
"""What a rule does: note what it would have done, ask a person, act. A new rule begins with the first."""
Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Id = Annotated[str, Meta(min_length=1, max_length=255)]
Ids = Annotated[tuple[Id, ...], Meta(max_length=10_000)]
Hours = Annotated[float, Meta(gt=0, le=24 * 366)]
Seconds = Annotated[float, Meta(ge=0, le=3600)]
L4Port = Annotated[int, Meta(ge=1, le=65535)]
Rate = Annotated[int, Meta(ge=1, le=2**31 - 1)]
USAGE = "usage:"
"""How the findings of usage rules begin in `detector`; the rule's name follows."""
BY_HAND = "by-hand"
"""The rule of incidents that a person asked for without any."""


OperatorsTag = Annotated[str, Meta(pattern=f"^{OPERATORS}.", max_length=255)]
OperatorsTags = Annotated[tuple[OperatorsTag, ...], Meta(max_length=10_000)]


class Selector(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom a rule is for. As a choice, all that is said has to be so; as an exemption, any of it.

    Tags are those that only operators give and take: by others a tenant would choose for himself.
    """

    everyone: bool = False
    projects: Ids = ()
    ports: Ids = ()
    tags: OperatorsTags = ()
    """Of the port."""
    networks: Ids = ()
    network_tags: OperatorsTags = ()

    @property
    def parts(self) -> tuple[tuple[str, ...], ...]:
        return self.projects, self.ports, self.tags, self.networks, self.network_tags

    def chooses(self, place: Place) -> bool:
        """Whether all that is said is so. Who says nothing means nobody."""
        have = (place.projects, place.port_ids, place.tags, place.networks, place.network_tags)
        chosen = [there.intersection(said) for said, there in zip(self.parts, have, strict=True) if said]
        return (self.everyone or bool(chosen)) and all(chosen)

    def exempts(self, place: Place) -> bool:
        """Whether any of it is so; of networks, all that the place is on: a tenant may make a port on another."""
        given = place.projects.intersection(self.projects) | place.port_ids.intersection(self.ports)
        if self.everyone or given or place.tags.intersection(self.tags):
            return True
        spared = [id_ in self.networks or not tags.isdisjoint(self.network_tags) for id_, tags in place.on.items()]
        return bool(spared) and all(spared)

    def exempts_all_of(self, other: Selector) -> bool:
        """As an exemption: whoever `other` exempts."""
        parts = zip(self.parts, other.parts, strict=True)
        return self.everyone >= other.everyone and all(set(own) >= set(others) for own, others in parts)


class Measure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The restriction that a rule leads to, and for how long."""

    kind: Literal["rate_limit", "packet_rate_limit", "port_block", "quarantine"]
    direction: Literal["egress", "ingress", "both"] = "egress"
    rate_kbps: Rate | None = None
    rate_kpps: Rate | None = None
    protocol: Literal["tcp", "udp"] | None = None
    port_min: L4Port | None = None
    port_max: L4Port | None = None
    lasts_h: Hours = 1.0


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A harsher measure, from this time on that the rule restricts somebody within `Limits.repeats_within_h`."""

    at: Annotated[int, Meta(ge=2, le=100)]
    do: Measure


Steps = Annotated[tuple[Step, ...], Meta(max_length=10)]


class DetectorRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Findings of one detector lead to a restriction of their subject."""

    name: Name
    detector: Name
    role: Role | None = "source"
    confidence: Annotated[float, Meta(ge=0, le=1)] = 0.9
    """The least."""
    for_: Selector = msgspec.field(name="for", default=Selector())
    but_for: Selector = Selector()
    do: Measure
    then: Steps = ()
    mode: Mode = "dry_run"


class UsageRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """More than so much within so long leads to a restriction; a warning goes out at a part of it."""

    name: Name
    per: Literal["port", "project"] = "port"
    direction: Literal["egress", "ingress", "both"] = "both"
    outside: bool = True
    """Only what goes to and comes from outside the cloud."""
    more_than_gb: Annotated[float, Meta(gt=0)]
    within_h: Annotated[float, Meta(ge=1, le=24 * 31)] = 24.0
    warn_at: Annotated[float, Meta(gt=0, le=1)] = 0.8
    for_: Selector = msgspec.field(name="for", default=Selector())
    but_for: Selector = Selector()
    do: Measure
    then: Steps = ()
    mode: Mode = "dry_run"


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much may happen by itself. The larger of `acts_an_hour` and `share_of_ports` is how many ports an hour."""

    acts_an_hour: Annotated[int, Meta(ge=0, le=1000)] = 5
    share_of_ports: Annotated[float, Meta(ge=0, le=0.2)] = 0.02
    answer_within_h: Hours = 1.0
    """Who is asked has so long to answer."""
    repeats_within_h: Hours = 7 * 24.0
    """Whoever is restricted again within this is so for twice as long, or by a harsher measure."""
    longest_h: Hours = 7 * 24.0
    fresh_s: Seconds = 120.0
    """How long ago a finding may have been seen to go on, to be acted on or to count as going on."""
    verify_after_s: Seconds = 60.0
    clock_offset_s: Seconds = 30.0


class Never(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom no rule touches. `addresses` are addresses or prefixes."""

    ports: Ids = ()
    projects: Ids = ()
    addresses: Ids = ()


class Rulebook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One version of all that."""

    limits: Limits = Limits()
    never: Never = Never()
    rules: Annotated[tuple[DetectorRule, ...], Meta(max_length=200)] = ()
    usage: Annotated[tuple[UsageRule, ...], Meta(max_length=200)] = ()

    @property
    def all_rules(self) -> list[DetectorRule | UsageRule]:
        return [*self.rules, *self.usage]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a finding is about, as the store has it: what a restriction of it would bind."""

    target: Subject
    ours: bool = True
    """An address that no port has is outside."""
    there: bool = False
    """It is something that can be acted on, whether or not a port is bound by it."""
    project_id: str | None = None
    ports: int = 0
    projects: frozenset[str] = frozenset()
    port_ids: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    on: Mapping[str, frozenset[str]] = {}
    """By network, its tags."""
    addresses: frozenset[str] = frozenset()
    """Those that operators hand out: a tenant may number networks of his own as he likes."""
    bound: Mapping[str, str] = {}
    """The hosts of those ports that are bound."""
    trunks: frozenset[str] = frozenset()
    """Parents of trunks held by themselves: what is metered of them may have a second of their subports' in it."""
    infrastructure: bool = False
    """Some of its ports are the network's own: routers, DHCP, gateways."""

    @property
    def hosts(self) -> frozenset[str]:
        return frozenset(self.bound.values())

    @property
    def networks(self) -> frozenset[str]:
        return frozenset(self.on)

    @property
    def network_tags(self) -> frozenset[str]:
        return frozenset(tag for tags in self.on.values() for tag in tags)


AnyRule = DetectorRule | UsageRule


def measure_of(rule: AnyRule, times: int) -> Measure:
    """What the rule does to whom it restricts for that time (1: the first)."""
    reached = [step for step in rule.then if step.at <= times]
    return reached[-1].do if reached else rule.do


def rules_for(book: Rulebook, finding: Finding, place: Place) -> list[AnyRule]:
    """Those that say something of this finding, in the book's order."""
    usage = [rule for rule in book.usage if finding.detector == f"{USAGE}{rule.name}"]
    found: list[AnyRule] = [
        rule
        for rule in book.rules
        if rule.detector == finding.detector
        and rule.role in (None, finding.role)
        and finding.confidence >= rule.confidence
    ]
    return [rule for rule in [*found, *usage] if is_for(rule, place)]


def is_for(rule: DetectorRule | UsageRule, place: Place) -> bool:
    """Whether the place is chosen and not exempted."""
    return rule.for_.chooses(place) and not rule.but_for.exempts(place)
