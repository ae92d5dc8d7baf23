"""The three acts of a probe: whom they are asked of, and what follows from the answers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from suimon.api.operations.probing import Prober
from suimon.api.operations.reachability import Told
from suimon.distribution.reachability import Question as Asked
from suimon.distribution.reachability import Verdict, Way
from suimon.model.questions import Question, Traced
from suimon.model.things import Port
from suimon.pipeline.simulate import Ends, Result, Sent, Step, tcp
from suimon.pipeline.simulate.journey import Leg
from suimon.pipeline.tables import Stage

PACKET = tcp(Ends("02:00:00:00:00:01", "02:00:00:00:00:02", "10.0.0.1", "10.0.0.2"), 80, 61001).arriving(7)


class Hosts:
    def __init__(self, *answers: Traced) -> None:
        self.asked: list[tuple[str, Question]] = []
        self._answers = list(answers)

    async def ask(self, host: str, question: Question) -> Traced:
        self.asked.append((host, question))
        return self._answers[len(self.asked) - 1]


def port(name: str) -> Port:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    mac, host = "02:00:00:00:00:01", f"host-{name}"
    return Port(
        id=name, project_id="p", network_id="n", mac_address=mac, binding_host=host, created_at=now, updated_at=now
    )


def told(*legs: Leg, source: str = "a", target: str = "b", outside: tuple[str, str] | None = None) -> Told:
    """Between ports or, by addresses, the outside."""
    near, far = (each if "." in each else port(each) for each in (source, target))
    return Told(
        Asked(near, far), Verdict(Way((), legs), Way(()), far if isinstance(far, Port) else None, outside=outside), {}
    )


def leg(host: str, entry: str, *ways: str) -> Leg:
    step = Step(Stage.DELIVER, PACKET, None)
    return Leg(host, entry, PACKET, Result(tuple(Sent(1, PACKET, step) for _ in ways), (), (step,)), ways)


LEG = leg("host-a", "port/a")


@pytest.mark.parametrize("first, second, arrived", [(True, True, True), (False, True, True), (False, False, False)])
def test_it_is_awaited_then_sent_then_asked_for_twice_if_need_be(first: bool, second: bool, arrived: bool) -> None:
    answers = [Traced("x", ("port/b",) * seen) for came in (first, second) for seen in (0, 0, came)]
    hosts = Hosts(*answers)
    assert asyncio.run(Prober(hosts).probe(told(LEG)))["arrived"] is arrived
    once = [("host-b", "expect", "port/b"), ("host-a", "send", "port/a"), ("host-b", "seen", "port/b")]
    times = 1 if first else 2
    assert [(host, question.act, question.entry) for host, question in hosts.asked] == once * times
    assert len({question.nonce for _, question in hosts.asked}) == times and len(hosts.asked[0][1].nonce) == 32
    assert hosts.asked[1][1].fields["tcp_src"] == 61001 and "in_port" not in hosts.asked[1][1].fields


@pytest.mark.parametrize(
    "asked, sent, caught",
    [
        (
            told(LEG, leg("gw", "tunnel/vxlan", "nat/r"), leg("gw", "nat/r", "provider/public"), target="192.0.2.9"),
            ("host-a", "port/a"),
            ("gw", "provider/public"),
        ),
        (
            told(leg("gw", "provider/public", "nat/r"), source="192.0.2.9", outside=("other", "provider/public")),
            ("other", "provider/public"),
            ("host-b", "port/b"),
        ),
    ],
)
def test_the_outside_is_where_a_host_is_attached_to_it(
    asked: Told, sent: tuple[str, str], caught: tuple[str, str]
) -> None:
    hosts = Hosts(Traced("1"), Traced("2"), Traced("3", ("seen",)))
    assert asyncio.run(Prober(hosts).probe(asked))["arrived"] is True
    assert [(host, question.entry) for host, question in hosts.asked] == [caught, sent, caught]


def test_a_host_that_can_not_ends_it() -> None:
    hosts = Hosts(Traced("1", error="the port waits for another probe"))
    said = asyncio.run(Prober(hosts).probe(told(LEG)))
    assert said == {"arrived": None, "words": "could not be tried: the port waits for another probe"}
    assert len(hosts.asked) == 1


def test_a_packet_that_nobody_sends_is_not_probed() -> None:
    assert asyncio.run(Prober(Hosts()).probe(told()))["arrived"] is None
    nowhere = told(leg("gw", "provider/public", "nat/r"), source="192.0.2.9")
    assert asyncio.run(Prober(Hosts()).probe(nowhere))["arrived"] is None
