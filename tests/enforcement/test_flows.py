"""Who talks with whom is a fact, as collectors know it; one that is down makes it old, and takes nothing away."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from suimon.enforcement.alarms import Alarms, AlarmsConfig
from suimon.enforcement.flows import WINDOW_S, Flows, FlowsConfig, Talks
from suimon.enforcement.gathering import Gatherer, GathererConfig
from suimon.model.actor import SYSTEM
from suimon.model.collectors import MappedPort, Peer, Service, Talk, Window
from suimon.model.records import FROM_GUEST, TO_GUEST, joined
from suimon.resources import collectors
from suimon.resources.alarms import clear, tell_clock, tell_detector
from suimon.resources.breaker import open_breaker
from tests.enforcement.policed import Policed
from tests.enforcement.recorders import Recorder
from tests.enforcement.test_gathering import NOON, Watch, gather, tables
from tests.resources.world import ADMIN, ALICE, BOB
from tests.telemetry.test_talk import record

MAIL = 'error(p) :- suimon:flows(port_id=p, direction="out", protocol="tcp", destination_port=25), not relay(p)'
DESK = (
    'error(p, a) :- suimon:flow_peers(port_id=p, direction="in", protocol="tcp", destination_port=3389, address=a, '
    "outside=true, answered=true)"
)


class Site(Policed):
    """With a collector, and what reads it."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.watch = Watch(NOON + WINDOW_S)
        self.recorder = Recorder(self, directory, self.watch)
        self.flows = Flows(FlowsConfig(late_s=0), Talks(self.store), self.watch)

    def gather(self) -> bool:
        gathering = Gatherer(GathererConfig(), self.store, [self.flows]).round(self.flows)
        return self.loop.run_until_complete(self.recorder.answering(lambda: gathering))

    def mapped(self, by_project: str = "red", **fixed: str) -> MappedPort:
        network = self.network(**{"by": ALICE if by_project == "red" else BOB})
        self.subnet(network, by=ALICE if by_project == "red" else BOB)
        made = self.port(network, ALICE if by_project == "red" else BOB)["id"]
        return MappedPort(made, by_project, network, "h1", "192.0.2.1", 1, "02:00:00:00:00:01", ())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.recorder.segments.close()
    made.close()


def test_mail_that_is_not_sent_by_the_relay(site: Site) -> None:
    relay, other = site.mapped(), site.mapped()
    site.policy("mail", MAIL, f'relay("{relay.id}")')
    mails = [record(FROM_GUEST, 40_000, 25, port=place) for place in (0, 1)]
    site.recorder.write(joined(mails), relay, other)
    assert site.gather() and site.rows("mail") == [(other.id,)]
    site.watch.now_s += 1
    assert site.gather() and site.rows("mail") == [], "five minutes later it is over"


def test_who_talks_to_a_desktop_from_outside(site: Site) -> None:
    port, other = site.mapped(), site.mapped("blue")
    site.policy("desk", DESK)
    near = 0x0A000063
    talks = [
        record(direction, *numbers, port=place, **({side: near} if inside else {}))
        for place in (0, 1)
        for inside in (False, True)
        for direction, numbers, side in (
            (TO_GUEST, (50_000, 3389), "source_low"),
            (FROM_GUEST, (3389, 50_000), "destination_low"),
        )
    ]
    scan = record(TO_GUEST, 50_000, 3389, other=7)
    site.recorder.write(joined([*talks, scan]), port, other)
    assert site.gather()
    assert site.rows("desk") == sorted([(port.id, "198.51.100.1"), (other.id, "198.51.100.1")])
    site.policy("own", 'error(p) :- suimon:flows(port_id=p, destination_port=3389, direction="in")', by=BOB)
    assert site.rows("own", project="blue") == [(other.id,)]


def test_networks_behind_its_router_are_inside_and_anothers_are_not(site: Site) -> None:
    port = site.mapped()
    far, router = site.network(), site.router()
    subnet = site.subnet(far, "198.51.100.0/24", gateway_ip="198.51.100.254")
    site.policy("all", "p(a, o) :- suimon:flow_peers(address=a, outside=o)")
    site.recorder.write(record(FROM_GUEST, 40_000, 443), port)
    site.gather()
    assert site.rows("all", "p") == [("198.51.100.1", True)]
    site.act(router, "add_router_interface", {"subnet_id": subnet})
    (here,) = [one["id"] for one in site.list("subnets") if one["network_id"] == port.network_id]
    site.act(router, "add_router_interface", {"subnet_id": here})
    site.gather()
    assert site.rows("all", "p") == [("198.51.100.1", False)]


def test_a_collector_that_is_down_makes_the_tables_old_and_not_empty(site: Site, tmp_path: Path) -> None:
    port = site.mapped()
    site.policy("all", "p(n) :- suimon:flows(destination_port=n)")
    site.recorder.write(record(FROM_GUEST, 40_000, 443), port)
    site.gather()
    before, revision = tables(site)["suimon/flows"], site.store.position()[2]
    assert gather(site, site.flows)
    after = tables(site)["suimon/flows"]
    assert site.rows("all", "p") == [(443,)] and site.store.position()[2] == revision
    assert "c1" in after.problem and after.read_at == before.read_at and not before.problem
    other = Recorder(site, tmp_path / "other", site.watch, "c2")
    site.gather()
    assert "c2" in tables(site)["suimon/flow_peers"].problem, "what one of two knows isn't all"
    other.segments.close()
    site.write(lambda tx: collectors.delete_collector(tx, ADMIN, "c2"))
    site.gather()
    assert not tables(site)["suimon/flows"].problem
    site.write(lambda tx: collectors.delete_collector(tx, ADMIN, "c1"))
    gather(site, site.flows)
    assert "has joined" in tables(site)["suimon/flows"].problem


def test_of_two_collectors_with_the_same_packets_one_is_believed(site: Site, tmp_path: Path) -> None:
    port = site.mapped()
    site.policy("all", "p(n, r) :- suimon:flows(destination_port=n, records=r)")
    other = Recorder(site, tmp_path / "other", site.watch, "c2")
    mail, web = record(FROM_GUEST, 40_000, 25), record(FROM_GUEST, 40_000, 443)
    site.recorder.write(mail, port)
    other.write(joined([mail, web, record(TO_GUEST, 40_000, 22)]), port)

    async def both() -> None:
        gathering = Gatherer(GathererConfig(), site.store, [site.flows])
        await site.recorder.answering(lambda: other.answering(lambda: gathering.round(site.flows)))

    site.loop.run_until_complete(both())
    other.segments.close()
    assert site.rows("all", "p") == [(22, 1), (25, 1), (443, 1)]


def peer(address: str) -> Talk:
    key = ("p1", "red", "out", "tcp", 25)
    return Talk((Window(0, (Service(*key, 1, 1, 1, 1),), (Peer(*key, address, False, 1, 1, 1),)),))


@pytest.mark.parametrize(
    ("status", "said", "words"),
    [
        (200, Talk(()), "something else"),
        (200, peer("nowhere"), "something else"),
        (200, {"windows": 1}, "don't answer"),
        (404, {}, "don't answer"),
        (400, {"error": "it takes longer than 15 s"}, "can't say: it takes longer"),
        (200, peer(""), ""),
    ],
)
def test_a_collector_that_answers_otherwise_is_not_believed(site: Site, status: int, said: object, words: str) -> None:
    async def told(_request: Request) -> Response:
        return Response(msgspec.json.encode(said), status, media_type="application/json")

    site.recorder.app = Starlette(routes=[Route("/flows/v1/talk", told, methods=["POST"])])
    site.policy("all", "p(a, o) :- suimon:flow_peers(address=a, outside=o)")
    site.gather()
    problem = tables(site)["suimon/flow_peers"].problem
    assert words in problem and bool(problem) == bool(words)
    assert site.rows("all", "p") == ([] if words else [("", True)])


def test_alarms_of_the_last_day_are_facts(policed: Policed) -> None:
    source = Alarms(AlarmsConfig(), policed.store)
    policed.policy("alarms", "error(n, k, s) :- suimon:alarms(name=n, subject_kind=k, subject_id=s)")
    assert gather(policed, source) and policed.rows("alarms") == []
    policed.write(lambda tx: tell_clock(tx, "h1", 90.0), SYSTEM)
    policed.clock_ahead(timedelta(hours=20))
    policed.write(lambda tx: open_breaker(tx, ADMIN, "too much"))
    gather(policed, source)
    assert policed.rows("alarms") == [("breaker-open", "controller", ""), ("host-clock-off", "host", "h1")]
    policed.clock_ahead(timedelta(hours=5))
    gather(policed, source)
    assert policed.rows("alarms") == [("breaker-open", "controller", "")]
    policed.write(lambda tx: tell_detector(tx, "udp_flood", ("collector", "c1"), 1, "x"), SYSTEM)
    gather(policed, source)
    assert ("detector-failed", "collector", "c1") in policed.rows("alarms")
    policed.clock_ahead(timedelta(hours=2))
    policed.write(clear, SYSTEM)
    gather(policed, source)
    assert policed.rows("alarms") == [("breaker-open", "controller", "")], "the other one is over"
