"""The gate's decisions, as tables: one thing differs in each from a case that is acted on."""

from typing import Any

import msgspec
import pytest

from suimon.model.findings import Finding, Subject
from suimon.model.rulebook import DetectorRule, Limits, Measure, Never, Place, Rulebook, Selector, Step, rules_for
from suimon.response.acts import case_of
from suimon.response.gate import Case, Counted, allowance, decide, duration_s

NOW_S = 1_800_000_000.0
FINDING = Finding(
    id="f1",
    detector="mass_mail",
    subject=Subject("port", "p1"),
    role="source",
    since_s=NOW_S - 20,
    seen_s=NOW_S - 1,
    confidence=0.95,
    numbers={},
    words="It sends mail.",
    evidence=(),
)
RULE = DetectorRule(
    name="spam",
    detector="mass_mail",
    for_=Selector(everyone=True),
    do=Measure(kind="port_block", protocol="tcp", port_min=25, lasts_h=1),
    mode="act",
)
PLACE = Place(
    target=FINDING.subject,
    ports=1,
    projects=frozenset({"red"}),
    port_ids=frozenset({"p1"}),
    addresses=frozenset({"10.0.0.5", "2001:db8::5"}),
)
T = "operator:t"
COUNTED = Counted(ports=100, bound=0)
with_ = msgspec.structs.replace


def case(finding: dict[str, Any] | None = None, rule: dict[str, Any] | None = None, **place: Any) -> Case:
    return case_of(with_(RULE, **(rule or {})), with_(FINDING, **(finding or {})), with_(PLACE, **place))


@pytest.mark.parametrize(
    ("changed", "verdict", "words"),
    [
        (case(), "act", "rule spam says so"),
        (case(rule={"mode": "dry_run"}), "dry_run", "rule spam says so"),
        (case(rule={"mode": "approve"}), "ask", "rule spam asks"),
        (case({"ended": True}), "skip", "over already"),
        (case({"seen_s": NOW_S - 119}), "act", ""),
        (case({"seen_s": NOW_S - 121}), "skip", "121 s ago"),
        (case({"seen_s": NOW_S + 29}), "act", ""),
        (case({"seen_s": NOW_S + 31}), "skip", "from now"),
        (case(ports=0), "refuse", "nothing of it"),
        (case(ports=0, there=True), "act", ""),
        (with_(case(), doubts=("it was undone",)), "ask", "it was undone"),
        (with_(case(), seen_s=None), "act", ""),
        (with_(case(), seen_s=None, ended=True), "skip", "over already"),
        (case(infrastructure=True), "refuse", "own ports"),
        (case(ours=False), "refuse", "outside"),
        (case(target=Subject("address", "10.0.0.5"), projects=frozenset({"red", "blue"})), "refuse", "several"),
        (with_(case(), offset_s=30.0), "act", ""),
        (with_(case(), offset_s=31.0), "ask", "clock"),
        (with_(case(), offset_s=-31.0), "ask", "clock"),
    ],
)
def test_one_thing_differs(changed: Case, verdict: str, words: str) -> None:
    decision = decide(Rulebook(), changed, COUNTED, NOW_S)
    assert decision.verdict == verdict
    assert words in "; ".join(decision.reasons)
    assert not decision.opens_breaker


@pytest.mark.parametrize(
    ("counted", "weight", "verdict", "opens"),
    [
        (Counted(ports=100, bound=4), 1, "act", False),
        (Counted(ports=100, bound=5), 1, "ask", True),
        (Counted(ports=100, bound=0), 5, "act", False),
        (Counted(ports=100, bound=0), 6, "ask", True),
        (Counted(ports=1000, bound=19), 1, "act", False),
        (Counted(ports=1000, bound=20), 1, "ask", True),
        (Counted(ports=1000, bound=0), 21, "ask", True),
        (Counted(ports=1000, bound=0, breaker_open="why"), 1, "ask", False),
        (Counted(ports=1000, bound=99, breaker_open="why"), 1, "ask", False),
    ],
)
def test_no_more_than_is_allowed(counted: Counted, weight: int, verdict: str, opens: bool) -> None:
    decision = decide(Rulebook(), case(ports=weight), counted, NOW_S)
    assert (decision.verdict, decision.opens_breaker) == (verdict, opens)


@pytest.mark.parametrize(
    ("counted", "weight", "would"),
    [
        (Counted(ports=100, bound=4), 1, "act"),
        (Counted(ports=100, bound=5), 1, "ask"),
        (Counted(ports=100, bound=1, would_bind=3), 1, "act"),
        (Counted(ports=100, bound=1, would_bind=4), 1, "ask"),
        (Counted(ports=100, bound=0), 6, "ask"),
        (Counted(ports=100, bound=0, breaker_open="why"), 1, "ask"),
    ],
)
def test_a_dry_run_says_what_would_be_so_if_all_of_them_acted(counted: Counted, weight: int, would: str) -> None:
    decision = decide(Rulebook(), case(rule={"mode": "dry_run"}, ports=weight), counted, NOW_S)
    assert (decision.verdict, decision.would, decision.opens_breaker) == ("dry_run", would, False)
    assert decision.acts == (would == "act")
    acting = decide(Rulebook(), case(ports=weight), with_(counted, bound=counted.bound + counted.would_bind), NOW_S)
    assert (decision.reasons, decision.lasts_s) == (acting.reasons, acting.lasts_s)


def test_of_what_acts_no_dry_run_is_counted() -> None:
    assert decide(Rulebook(), case(), Counted(ports=100, bound=4, would_bind=99), NOW_S).verdict == "act"


@pytest.mark.parametrize(("ports", "most"), [(0, 5), (250, 5), (299, 5), (300, 6), (10_000, 200)])
def test_the_larger_of_a_number_and_a_share(ports: int, most: int) -> None:
    assert allowance(ports, Limits()) == most


@pytest.mark.parametrize(
    "never",
    [
        Never(ports=("p1",)),
        Never(projects=("red",)),
        Never(addresses=("10.0.0.5",)),
        Never(addresses=("192.0.2.0/24", "10.0.0.0/8")),
        Never(addresses=("2001:db8::/32",)),
    ],
)
@pytest.mark.parametrize("mode", ["dry_run", "approve", "act"])
def test_who_is_listed_is_not_touched_whatever_the_mode(never: Never, mode: str) -> None:
    decision = decide(Rulebook(never=never), case(rule={"mode": mode}), COUNTED, NOW_S)
    assert (decision.verdict, "never to be touched" in decision.reasons[0]) == ("refuse", True)


def test_who_is_not_listed_is() -> None:
    never = Never(ports=("p2",), projects=("blue",), addresses=("10.0.0.4", "192.0.2.0/24"))
    assert decide(Rulebook(never=never), case(), COUNTED, NOW_S).verdict == "act"


@pytest.mark.parametrize(("earlier", "hours"), [(0, 1), (1, 2), (3, 8), (7, 128), (8, 168), (10_000, 168)])
def test_twice_as_long_each_time_up_to_the_longest(earlier: int, hours: float) -> None:
    assert duration_s(RULE.do.lasts_h, earlier, Limits()) == hours * 3600


@pytest.mark.parametrize(
    ("earlier", "hours", "so"),
    [
        (0, 1, ""),
        (1, 2, "for the 2. time, so for longer"),
        (2, 6, "for the 3. time, so by a harsher measure"),
        (3, 12, "for the 4. time, so by a harsher measure"),
        (4, 24, "for the 5. time, so by a harsher measure"),
        (5, 48, "for the 6. time, so by a harsher measure"),
        (99, 168, "for the 100. time, so by a harsher measure"),
    ],
)
def test_a_harsher_measure_doubles_from_when_it_is_taken_first(earlier: int, hours: float, so: str) -> None:
    quarantine = Measure(kind="quarantine", lasts_h=6)
    steps = (Step(at=3, do=quarantine), Step(at=5, do=with_(quarantine, lasts_h=24)))
    for mode in ("act", "dry_run"):
        asked = case(rule={"then": steps, "mode": mode})
        decision = decide(Rulebook(), asked, with_(COUNTED, earlier=earlier), NOW_S)
        assert (decision.lasts_s, decision.times) == (hours * 3600, earlier + 1)
        assert decision.reasons == ("rule spam says so", *filter(None, [so]))


@pytest.mark.parametrize(
    ("finding", "rule", "chosen"),
    [
        ({}, {}, True),
        ({"detector": "port_scan"}, {}, False),
        ({"confidence": 0.89}, {}, False),
        ({"confidence": 0.9}, {}, True),
        ({"role": "victim"}, {}, False),
        ({"role": "victim"}, {"role": None}, True),
        ({}, {"for_": Selector()}, False),
        ({}, {"for_": Selector(projects=("red",))}, True),
        ({}, {"for_": Selector(projects=("blue",))}, False),
        ({}, {"for_": Selector(projects=("red",), tags=(T,))}, True),
        ({}, {"for_": Selector(projects=("red",), tags=("operator:other",))}, False),
        ({}, {"for_": Selector(networks=("n",))}, True),
        ({}, {"for_": Selector(network_tags=(T,))}, True),
        ({}, {"but_for": Selector(projects=("blue",), tags=(T,))}, False),
        ({}, {"for_": Selector(ports=("p1",))}, True),
        ({}, {"for_": Selector(ports=("p2",))}, False),
        ({}, {"but_for": Selector(ports=("p1",))}, False),
        ({}, {"but_for": Selector(networks=("n",))}, True),
        ({}, {"but_for": Selector(networks=("n", "m"))}, False),
        ({}, {"but_for": Selector(networks=("m",), network_tags=(T,))}, False),
        ({}, {"but_for": Selector(network_tags=(T,))}, True),
        ({}, {"but_for": Selector(everyone=True)}, False),
        ({}, {"but_for": Selector(projects=("blue",))}, True),
    ],
)
def test_which_rules_are_for_a_finding(finding: dict[str, Any], rule: dict[str, Any], chosen: bool) -> None:
    """A place on two networks, of which only the first has the tag."""
    place = with_(PLACE, tags=frozenset({T}), on={"n": frozenset({T}), "m": frozenset()})
    book = Rulebook(rules=(with_(RULE, **rule),))
    assert bool(rules_for(book, with_(FINDING, **finding), place)) == chosen
