"""Findings as figures that hosts count now, and what the counted figures say."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import msgspec
import pytest

from suimon.detection.thresholds import Thresholds, read
from suimon.model.counts import Activity
from suimon.model.findings import Direction, Finding, Role, Subject, Suggestion
from suimon.model.questions import Look, Traced
from suimon.model.rulebook import Place, UsageRule
from suimon.response.accusations import DEFAULTS, Accusation, accused, goes_on, imposed, judged, kinds_by, verified
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
        (finding(sessions=50, window_s=0.0, l4_port=25), with_(MAIL, least_per_s=40 / 30)),
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


NEEDED = {
    ("mass_mail", "source"): 40 / 30,
    ("brute_force", "source"): 1.0,
    ("brute_force", "victim"): 1.0,
    ("port_scan", "source"): 10.0,
    ("host_scan", "source"): 10.0,
    ("syn_flood", "source"): 2_000.0,
    ("syn_flood", "victim"): 4_000.0,
    ("udp_flood", "source"): 20_000.0,
    ("udp_flood", "victim"): 20_000.0,
    ("reflection", "source"): 5_000 / 12,
    ("reflection", "victim"): 20_000 / 12,
    ("heavy_traffic", "source"): 100_000.0,
    ("heavy_traffic", "victim"): 100_000.0,
    ("forging", "source"): 5.0,
}
"""By the detectors' own defaults. Of reflection, packets are as long as Ethernet's may be."""


@pytest.mark.parametrize("times", [1.0, 0.5, 2.0])
def test_less_than_the_detector_calls_an_attack_is_none_whatever_is_said(times: float) -> None:
    """Whoever lowers a threshold lowers what is needed, and whoever raises it raises that."""
    assert {name for name, _ in NEEDED} == set(Thresholds.__struct_fields__)
    so_many = {
        **{"mass_mail": {"servers": 40}, "brute_force": {"sessions": 60}, "port_scan": {"l4_ports": 100}},
        **{"host_scan": {"hosts": 100}, "syn_flood": {"out_syn_per_s": 2000, "in_syn_per_s": 4000}},
        **{"udp_flood": {"out_kpps": 20, "in_kpps": 20}, "heavy_traffic": {"least_kbps": 100_000}},
        **{"reflection": {"source_kbps": 5000, "victim_kbps": 20_000}, "forging": {"packets": 300}},
    }
    text = "\n".join(
        f"{name}: {{{', '.join(f'{key}: {most * times:.0f}' for key, most in each.items())}}}"
        for name, each in so_many.items()
    )
    kinds = kinds_by(read(text)) if times != 1.0 else DEFAULTS
    said = dict.fromkeys(
        ("sessions", "l4_ports", "hosts", "syn_per_s", "packets_per_s", "answers_packets_per_s", "kbps"), 0.001
    )
    for (name, role), needed in NEEDED.items():
        port = 22.0 if name == "brute_force" else 25.0
        accusation = accused(finding(name, role, window_s=1.0, l4_port=port, **said), kinds)  # type: ignore[arg-type]
        assert accusation and accusation.needed_per_s == pytest.approx(needed * times), name


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
        # To a trunk's parent its subports' packets come, too.
        ({"rate_kpps": 1}, TOWARDS, with_(QUIET, received_packets=9_000, let_in=900), True),
        ({"rate_kpps": 1}, TOWARDS, with_(QUIET, received_packets=9_000, let_in=2_000), False),
        ({"rate_kpps": 1}, TOWARDS, with_(QUIET, received_packets=9_000), False),
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


FELT = with_(QUIET, restricted_out=1)


@pytest.mark.parametrize(
    ("wanted", "accusation", "seen", "reported", "so"),
    [
        ({"kind": "port_block"}, MAIL, with_(QUIET, restricted_out=13), False, True),
        ({"kind": "port_block"}, MAIL, with_(QUIET, sessions=13), False, True),
        ({"kind": "port_block"}, MAIL, with_(QUIET, restricted_out=12), True, False),
        # Who says less by and by can't keep anybody restricted by that.
        ({"kind": "port_block"}, with_(MAIL, per_s=0.1, least_per_s=40 / 30), FELT, True, False),
        ({"kind": "port_block"}, with_(MAIL, per_s=0.1, least_per_s=40 / 30), with_(FELT, sessions=1), True, True),
        ({"kind": "quarantine"}, FLOOD, with_(QUIET, sent_packets=40_000, restricted_out=40_000), False, True),
        ({"rate_kbps": 100}, FLOOD, with_(QUIET, sent_packets=10_000), False, True),
        ({"rate_kpps": 1}, TOWARDS, with_(QUIET, received_packets=1_000, restricted_in=9_000), False, True),
        ({"rate_kpps": 1}, TOWARDS, with_(QUIET, received_packets=1_000, restricted_in=8_999), True, False),
        # What is shaped is not counted when it is dropped: its limit has to be used, and it has to be told.
        ({"rate_kbps": 100}, TOWARDS, with_(QUIET, received_packets=9, received_bytes=6_250), True, True),
        ({"rate_kbps": 100}, TOWARDS, with_(QUIET, received_packets=9, received_bytes=6_240), True, False),
        ({"rate_kbps": 100}, TOWARDS, with_(QUIET, received_packets=9, received_bytes=12_500), False, False),
        ({"rate_kbps": 100}, with_(MAIL, direction="ingress"), with_(QUIET, sessions=13), False, True),
        # What says no figure has to be felt, and told.
        ({"kind": "quarantine"}, None, FELT, True, True),
        ({"kind": "quarantine"}, None, with_(QUIET, restricted_in=1), True, True),
        ({"kind": "quarantine"}, None, FELT, False, False),
        ({"kind": "quarantine"}, None, with_(QUIET, sent_packets=99), True, False),
        ({"rate_kpps": 1}, None, with_(QUIET, sent_packets=500), True, True),
        ({"rate_kpps": 1}, None, with_(QUIET, sent_packets=499), True, False),
    ],
)
def test_who_is_restricted_goes_on_when_his_host_counts_it(
    wanted: dict[str, object], accusation: Accusation | None, seen: Activity, *, reported: bool, so: bool
) -> None:
    assert goes_on(wanted, accusation, [seen], reported=reported) is so


class Samples:
    """The meter's word."""

    async def look(self, finding: Finding, place: Place) -> Looked:
        return Looked(True, "0.050 kpps")

    async def bites(
        self, finding: Finding | None, place: Place, wanted: Mapping[str, object], before: Sequence[Rate]
    ) -> Verification | None:
        raise AssertionError

    async def goes_on(
        self, finding: Finding, place: Place, wanted: Mapping[str, object], *, reported: bool
    ) -> bool | None:
        return None

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
    return Place(target=Subject("project", "p"), ports=ports, bound={f"p{n}": f"h{n}" for n in range(1, ports + 1)})


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


def test_of_a_trunk_the_parent_is_accused_by_itself_and_held_with_its_subports() -> None:
    """Its interface counts what they send, too."""
    trunk = Place(target=Subject("port", "p1"), ports=2, bound={"p1": "h1", "p2": "h1"})
    asked = Asked(host := Host(with_(QUIET, sessions=50, restricted_out=9)), Samples(), Samples().offsets)
    assert asyncio.run(asked.look(SPAM, trunk)).holds and asyncio.run(
        asked.goes_on(SPAM, trunk, MAIL_BLOCK, reported=True)
    )
    assert host.asked == [("h1", "p1")] * 2
    bites = asyncio.run(asked.bites(None, trunk, MAIL_BLOCK, []))
    assert bites and not bites.bites and host.asked[2:] == [("h1", "p1"), ("h1", "p2")]


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
    assert asyncio.run(asked.goes_on(SPAM, place(ports), MAIL_BLOCK, reported=True)) is None


def test_its_host_says_whether_it_goes_on() -> None:
    asked = Asked(host := Host(with_(QUIET, restricted_out=13)), Samples(), Samples().offsets)
    assert asyncio.run(asked.goes_on(SPAM, place(), MAIL_BLOCK, reported=False)) is True
    unknown = finding("of_somebody_else", sessions=5, window_s=1)
    assert asyncio.run(asked.goes_on(unknown, place(), MAIL_BLOCK, reported=True)) is True
    assert asyncio.run(asked.goes_on(unknown, place(), MAIL_BLOCK, reported=False)) is False
    assert host.asked == [("h1", "p1")] * 3
