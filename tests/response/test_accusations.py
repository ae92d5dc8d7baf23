"""Findings as figures that hosts count now, and what the counted figures say."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import msgspec
import pytest

from suimon.detection.thresholds import Thresholds
from suimon.model.counts import Activity
from suimon.model.findings import Direction, Finding, Role, Subject, Suggestion
from suimon.model.questions import Look, Traced
from suimon.model.rulebook import Place, UsageRule
from suimon.response.accusations import Accusation, accused, imposed, judged, tried, verified
from suimon.response.asked import Asked
from suimon.response.senses import Looked, Rate, Verification

EGRESS = {"direction": "egress"}
FORGED = Accusation("forged packets", "egress", 8.0)
MAIL = Accusation("sessions", "egress", 50.0, 6, 25)
FLOOD = Accusation("packets", "egress", 40_000.0)
TOWARDS = Accusation("packets", "ingress", 40_000.0)
QUIET = Activity(1.0, 0, 0, 0, 0, sessions=0, connections=0)
with_ = msgspec.structs.replace
SOME = with_(QUIET, sent_packets=100, sent_bytes=125_000, restricted_out=20, let_on=10)
"""1000 kbit/s sent, of which a tenth was let on."""


def finding(detector: str = "mass_mail", role: Role = "source", **numbers: float) -> Finding:
    return Finding(
        id="f", detector=detector, subject=Subject("port", "p1"), role=role, since_s=0, seen_s=0, confidence=1,
        numbers=numbers, words="", evidence=(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("said", "accusation"),
    [
        (finding(sessions=500, window_s=10, l4_port=25), with_(MAIL, least_per_s=40 / 30)),
        (finding(sessions=50, window_s=0.1, l4_port=25), with_(MAIL, least_per_s=40 / 30)),
        (finding("udp_flood", packets_per_s=40_000), with_(FLOOD, least_per_s=20_000.0)),
        (finding("udp_flood", "victim", packets_per_s=40_000), with_(TOWARDS, least_per_s=20_000.0)),
        (finding("heavy_traffic", kbps=9.0), Accusation("kbits", "egress", 9.0, least_per_s=100_000.0)),
        (finding("mass_mail"), None),
        (finding("mass_mail", sessions=500, l4_port=25), None),
        (finding("mass_mail", sessions=-5, window_s=10, l4_port=25), None),
        # Whoever opens many sessions sends no mail by that.
        (finding("mass_mail", sessions=500, window_s=10), None),
        (finding("mass_mail", sessions=500, window_s=10, l4_port=443), None),
        (finding("usage:heavy", used_gb=60), None),
        (finding("of_somebody_else", sessions=5, window_s=1), None),
    ],
)
def test_what_is_said_is_what_is_looked_for(said: Finding, accusation: Accusation | None) -> None:
    assert accused(said) == accusation


def test_of_a_scan_of_hosts_the_service_that_it_tries_is_looked_for() -> None:
    tries = Suggestion(kind="port_block", target_kind="port", target="p1", protocol="tcp", port_min=23, port_max=23)
    said = msgspec.structs.replace(finding("host_scan", hosts=100, window_s=10), suggestion=tries)
    assert accused(said) == Accusation("sessions", "egress", 10.0, 6, 23, 10.0)


def test_less_than_the_detector_calls_an_attack_is_none_whatever_is_said() -> None:
    """By the detectors' own defaults. Of reflection, packets are as long as Ethernet's may be."""
    own, kbits = Thresholds(), 1500 * 8 / 1000
    flood, mirrored = own.udp_flood, own.reflection
    least = {
        ("mass_mail", "source"): min(own.mass_mail.sessions, own.mass_mail.servers) / own.mass_mail.window_s,
        ("brute_force", "source"): own.brute_force.sessions / own.brute_force.window_s,
        ("brute_force", "victim"): own.brute_force.sessions / own.brute_force.window_s,
        ("port_scan", "source"): own.port_scan.l4_ports / own.port_scan.window_s,
        ("host_scan", "source"): own.host_scan.hosts / own.host_scan.window_s,
        ("syn_flood", "source"): own.syn_flood.out_syn_per_s,
        ("syn_flood", "victim"): own.syn_flood.in_syn_per_s,
        ("udp_flood", "source"): flood.out_kpps * 1000,
        ("udp_flood", "victim"): flood.in_kpps * 1000,
        ("reflection", "source"): mirrored.source_kbps / kbits,
        ("reflection", "victim"): mirrored.victim_kbps / kbits,
        ("heavy_traffic", "source"): own.heavy_traffic.least_kbps,
        ("heavy_traffic", "victim"): own.heavy_traffic.least_kbps,
        ("forging", "source"): own.forging.packets / own.forging.window_s,
    }
    assert {name for name, _ in least} == set(Thresholds.__struct_fields__)
    said = dict.fromkeys(
        ("sessions", "l4_ports", "hosts", "syn_per_s", "packets_per_s", "answers_packets_per_s", "kbps"), 0.001
    )
    for (name, role), needed in least.items():
        port = 22.0 if name == "brute_force" else 25.0
        accusation = accused(finding(name, role, window_s=1.0, l4_port=port, **said))  # type: ignore[arg-type]
        assert accusation and accusation.needed_per_s == pytest.approx(needed), name


def test_the_ports_are_those_of_the_detectors() -> None:
    own = Thresholds()
    for name, ports in (("mass_mail", own.mass_mail.l4_ports), ("brute_force", own.brute_force.l4_ports)):
        said = {port for port in range(65536) if accused(finding(name, sessions=9, window_s=1, l4_port=port))}
        assert said == set(ports)


def test_a_small_claim_about_an_innocent_does_not_hold() -> None:
    said = accused(finding(sessions=1, window_s=30, l4_port=25))
    assert said and judged(said, [with_(QUIET, sessions=1)]).holds is False
    assert judged(said, [with_(QUIET, sessions=2)]).holds is True


def test_what_is_slow_is_looked_for_longer() -> None:
    asked = MAIL.question("p1", drops=False)
    assert (asked.port_id, asked.protocol, asked.l4_port, asked.span_s, asked.drops) == ("p1", 6, 25, 0.5, False)
    assert with_(MAIL, per_s=2.0).question("p1", drops=False).span_s == 2.0
    assert with_(MAIL, per_s=0.1).question("p1", drops=False).span_s == 3.0
    assert Accusation("forged packets", "egress", 9.0).question("p1", drops=False).drops


@pytest.mark.parametrize(
    ("accusation", "seen", "holds"),
    [
        (MAIL, with_(QUIET, sessions=13, peers=4), True),
        (MAIL, with_(QUIET, sessions=12, sent_packets=10_000), False),
        (MAIL, with_(QUIET, sessions=None, sent_packets=13), True),
        (MAIL, with_(QUIET, sessions=None, sent_packets=12), False),
        (FLOOD, with_(QUIET, sent_packets=20_000, span_s=2.0), True),
        (FLOOD, with_(QUIET, sent_packets=9_000, received_packets=90_000), False),
        (TOWARDS, with_(QUIET, received_packets=6_000, restricted_in=4_000), True),
        (Accusation("kbits", "egress", 800.0), with_(QUIET, sent_bytes=25_000), True),
        (FORGED, with_(QUIET, sent_packets=100, forged=1), False),
    ],
)
def test_a_quarter_of_what_was_said_goes_on(accusation: Accusation, seen: Activity, *, holds: bool) -> None:
    assert judged(accusation, [seen]).holds is holds
    assert judged(accusation, [with_(seen, span_s=seen.span_s * 4)] * 4).holds is holds, "several ports are their sum"


@pytest.mark.parametrize(
    ("wanted", "accusation", "seen", "bites"),
    [
        ({"kind": "port_block"}, MAIL, with_(QUIET, sent_packets=900, restricted_out=120), True),
        ({"kind": "port_block"}, MAIL, with_(QUIET, sessions=26), False),
        ({"kind": "port_block"}, MAIL, with_(QUIET, sessions=None), None),
        ({"kind": "port_block"}, FORGED, with_(QUIET, forged=100, restricted_out=120), None),
        ({"kind": "quarantine"}, FLOOD, with_(QUIET, sent_packets=40_000, restricted_out=39_000), True),
        ({"kind": "quarantine"}, FLOOD, with_(QUIET, sent_packets=40_000, restricted_out=0), False),
        (
            {"rate_kpps": 1} | EGRESS,
            FLOOD,
            with_(QUIET, sent_packets=40_000, restricted_out=38_800),
            True,
        ),
        ({"rate_kpps": 1} | EGRESS, FLOOD, with_(QUIET, sent_packets=9_000, restricted_out=7_000), False),
        (
            {"rate_kbps": 100},
            FLOOD,
            with_(QUIET, received_packets=9, received_bytes=20_000),
            False,
        ),
        # Another direction's traffic is none of it.
        (
            {"rate_kbps": 100} | EGRESS,
            FLOOD,
            with_(QUIET, received_packets=9, received_bytes=20_000, restricted_out=1),
            True,
        ),
        # Where nothing was dropped, it may have stopped by itself; but who has all that he may is held.
        ({"kind": "port_block"}, MAIL, QUIET, None),
        ({"kind": "quarantine"}, FLOOD, with_(QUIET, sent_packets=19_000), None),
        ({"rate_kpps": 1} | EGRESS, FLOOD, with_(QUIET, sent_packets=499), None),
        ({"rate_kpps": 1} | EGRESS, FLOOD, with_(QUIET, sent_packets=500), True),
        # Of a flood the switch gets a part: what it let on is what passed.
        (
            {"rate_kpps": 1} | EGRESS,
            FLOOD,
            with_(QUIET, sent_packets=90_000, restricted_out=50_000, let_on=1_000),
            True,
        ),
        (
            {"rate_kpps": 1} | EGRESS,
            FLOOD,
            with_(QUIET, sent_packets=90_000, restricted_out=50_000, let_on=1_300),
            False,
        ),
        ({"rate_kbps": 100} | EGRESS, FLOOD, SOME, True),
        ({"rate_kbps": 70} | EGRESS, FLOOD, SOME, False),
    ],
)
def test_what_passes_says_whether_it_bites(
    wanted: dict[str, object], accusation: Accusation, seen: Activity, bites: bool | None
) -> None:
    found = verified(wanted, accusation, [seen])
    assert (found and found.bites) is bites


@pytest.mark.parametrize(("most", "bites"), [(970, False), (980, True)])
def test_a_limit_of_many_ports_is_one_for_each(most: int, *, bites: bool) -> None:
    """Of those here, each sends 1000 kbit/s and gets 1220."""
    both_ways = with_(QUIET, sent_packets=100, sent_bytes=125_000, received_packets=100, received_bytes=152_500)
    found = verified({"rate_kbps": most}, FLOOD, [both_ways] * 3)
    assert found and found.bites is bites


def test_who_is_blocked_and_knocks_goes_on() -> None:
    assert tried(MAIL, [with_(QUIET, restricted_out=13)])
    assert not tried(MAIL, [with_(QUIET, restricted_out=12)])
    assert tried(FLOOD, [with_(QUIET, sent_packets=40_000, restricted_out=40_000)])


class Samples:
    """The meter's word."""

    async def look(self, finding: Finding, place: Place) -> Looked:
        return Looked(True, "0.050 kpps")

    async def bites(
        self, finding: Finding | None, place: Place, wanted: Mapping[str, object], before: Sequence[Rate]
    ) -> Verification | None:
        raise AssertionError

    async def goes_on(self, finding: Finding, place: Place) -> bool | None:
        raise AssertionError

    async def rates(self, place: Place, direction: Direction, begun_s: float, ended_s: float) -> Sequence[Rate]:
        raise AssertionError

    async def used(self, rule: UsageRule, begun_s: float, ended_s: float) -> Mapping[str, int]:
        raise AssertionError

    async def offsets(self) -> Mapping[str, float]:
        return {"h1": 45.0}


class Host:
    """Answers with `seen`, or why not."""

    def __init__(self, seen: Activity | str) -> None:
        self.seen = seen
        self.asked: list[tuple[str, str]] = []

    async def ask(self, host: str, question: Look) -> Traced:
        self.asked.append((host, question.port_id))
        return Traced("q", error=self.seen) if isinstance(self.seen, str) else Traced("q", activity=self.seen)


def place(ports: int = 1) -> Place:
    return Place(target=Subject("port", "p1"), ports=ports, bound={f"p{n}": f"h{n}" for n in range(1, ports + 1)})


SPAM = finding(sessions=500, window_s=10, l4_port=25)


def test_what_no_host_counts_is_left_to_the_samples() -> None:
    asked, used = Asked(host := Host(QUIET), Samples(), Samples().offsets), finding("usage:heavy", used_gb=60)
    assert asyncio.run(asked.look(used, place())) == Looked(True, "0.050 kpps")
    assert host.asked == []


MAIL_BLOCK: dict[str, object] = {"kind": "port_block", "protocol": "tcp", "port_min": 25}
LIMIT: dict[str, object] = {"kind": "rate_limit", "rate_kbps": 100}


@pytest.mark.parametrize(
    ("wanted", "before", "seen", "bites"),
    [
        (MAIL_BLOCK, [], with_(QUIET, restricted_out=9), True),
        (MAIL_BLOCK, [], with_(QUIET, restricted_out=9, sessions=1), False),
        (MAIL_BLOCK, [], QUIET, None),
        (MAIL_BLOCK | {"direction": "ingress"}, [], with_(QUIET, restricted_in=9), True),
        (LIMIT, [], with_(QUIET, sent_packets=9, sent_bytes=20_000), False),
        (LIMIT, [], with_(QUIET, sent_packets=90, sent_bytes=200_000, restricted_out=89), True),
        (
            {"kind": "quarantine"},
            [Rate(9.0, 1.0, "egress"), Rate(9.0, 9.0)],
            with_(QUIET, sent_packets=1000, restricted_out=900),
            True,
        ),
        ({"kind": "quarantine"}, [Rate(9.0, 1.0, "egress"), Rate(9.0, 9.0)], with_(QUIET, sent_packets=1000), False),
    ],
)
def test_where_no_finding_accuses_the_restriction_says_what_may_pass(
    wanted: dict[str, object], before: list[Rate], seen: Activity, *, bites: bool | None
) -> None:
    asked, used = Asked(host := Host(seen), Samples(), Samples().offsets), finding("usage:heavy", used_gb=60)
    for about in (None, used):
        found = asyncio.run(asked.bites(about, place(), wanted, before))
        assert found and found.bites is bites and "said" not in found.words
    assert host.asked == [("h1", "p1")] * 2


@pytest.mark.parametrize(
    ("wanted", "before"),
    [
        (MAIL_BLOCK | {"port_max": 26}, []),
        ({"kind": "port_block"}, []),
        ({"kind": "quarantine"}, []),
        ({"kind": "quarantine"}, [Rate(9.0, 0.009, "egress"), Rate(9.0, 9.0)]),
    ],
)
def test_what_cannot_be_counted_is_left_to_samples(wanted: dict[str, object], before: list[Rate]) -> None:
    asked = Asked(host := Host(QUIET), Samples(), Samples().offsets)
    assert asyncio.run(asked.bites(None, place(), wanted, before)) is None and host.asked == []


def test_a_block_is_looked_at_for_longer_than_a_flood() -> None:
    look = imposed(MAIL_BLOCK | {"port_max": 25}, [])
    assert look and look.question("p", drops=True) == Look("", "p", "egress", 6, 25, 3.0, drops=True)


def test_the_ports_hosts_are_asked_and_believed() -> None:
    host = Host(with_(QUIET, sessions=20, peers=9))
    looked = asyncio.run(Asked(host, Samples(), Samples().offsets).look(SPAM, place(2)))
    assert looked.holds and "40.0 sessions a second" in looked.words and "18 others" in looked.words
    assert host.asked == [("h1", "p1"), ("h2", "p2")]
    assert asyncio.run(Asked(Host(QUIET), Samples(), Samples().offsets).look(SPAM, place())).holds is False


@pytest.mark.parametrize(
    ("seen", "ports", "why"),
    [
        ("the host's agent is older and can't be asked", 1, "older"),
        (with_(QUIET, span_s=0.0), 1, "in vain"),
        (with_(QUIET, sent_bytes=-1), 1, "in vain"),
        (QUIET, 0, "no host"),
        (QUIET, 9, "9 ports"),
    ],
)
def test_where_no_host_can_be_asked_the_samples_say_it_and_the_incident_why(
    seen: Activity | str, ports: int, why: str
) -> None:
    asked = Asked(Host(seen), Samples(), Samples().offsets)
    looked = asyncio.run(asked.look(SPAM, place(ports)))
    assert looked.holds and looked.words.startswith("0.050 kpps, by samples: ") and why in looked.words
    assert asyncio.run(asked.bites(SPAM, place(ports), {"kind": "quarantine"}, [])) is None
    assert asyncio.run(asked.goes_on(SPAM, place(ports))) is None
