"""The three acts of a probe: whom they are asked of, and what follows from the answers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from suimon.api.operations.probing import Prober
from suimon.api.operations.reachability import Told
from suimon.distribution.reachability import Question as Asked
from suimon.distribution.reachability import Verdict, Way
from suimon.model.things import Port
from suimon.model.view import Question, Traced
from suimon.pipeline.simulate import Ends, Result, tcp
from suimon.pipeline.simulate.journey import Leg

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


def told(*legs: Leg) -> Told:
    source, target = (port(name) for name in ("a", "b"))
    return Told(Asked(source, target), Verdict(Way((), legs), Way(()), target), {})


LEG = Leg("host-a", "port/a", PACKET, Result((), (), ()))


@pytest.mark.parametrize("sent, arrived", [(("port/b",), True), ((), False)])
def test_it_is_awaited_then_sent_then_asked_for(sent: tuple[str, ...], arrived: bool) -> None:
    hosts = Hosts(Traced("1"), Traced("2"), Traced("3", sent))
    assert asyncio.run(Prober(hosts).probe(told(LEG)))["arrived"] is arrived
    assert [(host, question.act, question.entry) for host, question in hosts.asked] == [
        ("host-b", "expect", "port/b"),
        ("host-a", "send", "port/a"),
        ("host-b", "seen", "port/b"),
    ]
    assert len({question.nonce for _, question in hosts.asked}) == 1 and len(hosts.asked[0][1].nonce) == 32
    assert hosts.asked[1][1].fields["tcp_src"] == 61001 and "in_port" not in hosts.asked[1][1].fields


def test_a_host_that_can_not_ends_it() -> None:
    hosts = Hosts(Traced("1", error="the port waits for another probe"))
    said = asyncio.run(Prober(hosts).probe(told(LEG)))
    assert said == {"arrived": None, "words": "could not be tried: the port waits for another probe"}
    assert len(hosts.asked) == 1


def test_a_packet_that_nobody_sends_is_not_probed() -> None:
    assert asyncio.run(Prober(Hosts()).probe(told()))["arrived"] is None
