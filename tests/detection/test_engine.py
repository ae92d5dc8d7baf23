"""What lasts is one finding, what throws is put aside, what floods the counters leaves them small."""

import tracemalloc
from typing import Any

import msgspec
import numpy as np
import pytest

from suimon.detection import configs, folds
from suimon.detection.engine import Engine
from suimon.detection.episodes import Episodes
from suimon.detection.records import OF_RECORDS, Records
from suimon.detection.replay import replay
from suimon.detection.sightings import More, Sighting
from suimon.detection.thresholds import Thresholds
from suimon.model import loops
from suimon.model.findings import Subject
from suimon.telemetry.history.filters import parsed
from tests.detection.attacks import ATTACKS, syn_flood_in, udp_flood_out
from tests.detection.traffic import ACK, EPOCH, TCP, Life, flows, records, tags


def sighting(at_s: float, about: str = "") -> Sighting:
    return Sighting(
        subject=Subject("port", "p"), role="source", project_id=None, about=about, since_s=at_s, seen_s=at_s,
        more=lambda: More(confidence=0.9, numbers={"kbps": at_s}, words="It did."),
    )  # fmt: skip


def test_what_lasts_is_one_finding_until_it_is_quiet() -> None:
    episodes = Episodes("udp_flood", quiet_s=10, retell_s=2)
    told = [finding for now_s in range(100, 106) for finding in episodes.tell([sighting(now_s)], now_s)]
    assert [(finding.since_s, finding.seen_s) for finding in told] == [(100, 100), (100, 102), (100, 104)]
    assert episodes.tell([], 114.9) == []
    (ended,) = episodes.tell([], 115)
    assert (ended.id, ended.ended, ended.seen_s) == (told[0].id, True, 105)
    (again,) = episodes.tell([sighting(120)], 120)
    assert again.id != ended.id
    (other,) = episodes.tell([sighting(120, "tcp/25")], 120)
    assert other.id != again.id


def test_so_many_at_once_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("suimon.detection.episodes._MOST", 2)
    episodes = Episodes("udp_flood", quiet_s=10)
    assert len(episodes.tell([sighting(1, str(number)) for number in range(5)], 1)) == 2
    assert episodes.untold == 3


class Throws:
    def __init__(self, _config: Any) -> None:
        self.steps = 0

    def step(self, _seen: Any, now_s: float) -> list[Sighting]:
        self.steps += 1
        if self.steps == 2:
            raise ZeroDivisionError("by design")
        return [sighting(now_s)]


class Works(Throws):
    def step(self, _seen: Any, now_s: float) -> list[Sighting]:
        return [sighting(now_s)]


def test_one_that_throws_is_begun_anew_and_others_go_on() -> None:
    engine: Engine[Any] = Engine({"udp_flood": Throws, "syn_flood": Works}, Thresholds())
    told = [[finding.detector for finding in engine.step(None, now_s)] for now_s in (10, 20, 30)]
    assert told == [["udp_flood", "syn_flood"], ["syn_flood"], ["udp_flood", "syn_flood"]]
    assert engine.faults["udp_flood"].times == 1
    assert "by design" in engine.faults["udp_flood"].last


def test_one_whose_words_throw_stops_no_other() -> None:
    def throws() -> More:
        raise ZeroDivisionError("by design")

    class Speechless(Works):
        def step(self, _seen: Any, now_s: float) -> list[Sighting]:
            return [msgspec.structs.replace(sighting(now_s), more=throws)]

    engine: Engine[Any] = Engine({"udp_flood": Speechless, "syn_flood": Works}, Thresholds())
    assert [finding.detector for finding in engine.step(None, 10)] == ["syn_flood"]
    assert [finding.detector for finding in engine.tick(1000)] == ["syn_flood"]
    assert {name: each.faults for name, each in engine.tallies.items()} == {"udp_flood": 2, "syn_flood": 0}


def test_a_detector_that_is_switched_off_says_nothing() -> None:
    off = Thresholds(udp_flood=configs.UdpFlood(enabled=False))
    batch = records(udp_flood_out(Life(16.0), 0))
    assert not [finding for _, finding in replay(batch, tags(1), off) if finding.detector == "udp_flood"]


def test_the_same_records_give_the_same_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    life = Life(16.0)
    batch = records(*(attack.make(life, number) for number, attack in enumerate(ATTACKS.values())), sampling=64)
    first, second = (list(replay(batch, tags(len(ATTACKS)), Thresholds(), seed=4)) for _ in range(2))
    assert first == second
    assert first
    for each in (loops, folds):
        monkeypatch.setattr(each, "_LIBRARY", None)
    assert list(replay(batch, tags(len(ATTACKS)), Thresholds(), seed=4)) == first, "without a compiler"


def test_a_port_stays_itself_when_the_table_is_another() -> None:
    batch = records(udp_flood_out(Life(16.0), 0))
    looking, told = Records(Thresholds(), 1), []
    for number in range(len(batch)):
        part = batch[number : number + 1]
        table = tags(number + 1)[::-1]
        part["port"] = len(table) - 1
        told += looking.take(part, table, float(part["ended"][-1]))
    assert {finding.subject.id for finding in told} == {"port-0"}
    assert len({finding.id for finding in told}) == 1


def test_records_of_no_port_no_direction_or_no_time_are_counted() -> None:
    batch = records(flows(0, True, TCP, (ACK,) * 3, begun=np.arange(6.0)))
    batch["port"][0], batch["port"][1], batch["direction"][2] = -1, 7, 0
    batch["ended"][3], batch["begun"][4] = EPOCH + 4000, EPOCH + 4000
    looking = Records(Thresholds(), 1)
    looking.take(batch, tags(1), EPOCH + 6)
    looking.flush(EPOCH + 7)
    assert looking.skipped == 5


def test_ten_second_records_are_spread_over_their_time() -> None:
    batch = records(udp_flood_out(Life(42.0), 0), active_s=10.0)
    told = [finding for _, finding in replay(batch, tags(1), Thresholds())]
    assert all(finding.numbers["packets_per_s"] == pytest.approx(40_000, rel=0.05) for finding in told)
    assert len(told) >= 3


def test_memory_stays_flat_under_a_million_sources() -> None:
    rng = np.random.default_rng(5)
    looking = Records(Thresholds(), 1)

    def flood(second: int) -> None:
        count = 50_000
        asked = {"peer": rng.integers(0, 1 << 24, count), "peer_l4": rng.integers(1024, 65535, count)}
        at = 20.0 + second + np.sort(rng.random(count))
        batch = records(
            flows(0, False, TCP, (ACK,) * 3, begun=at, own_l4=22, **asked),
            flows(1, True, 17, begun=at, own_l4=asked["peer_l4"], peer=asked["peer"], peer_l4=53),
        )
        looking.take(batch, tags(2), EPOCH + 21.0 + second)

    for second in range(3):
        flood(second)
    looking.flush(EPOCH + 24.0)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for second in range(3, 13):
        flood(second)
    looking.flush(EPOCH + 34.0)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 1 << 20
    assert looking.engine.faults == {}


def test_evidence_is_what_flows_search_understands() -> None:
    life = Life(20.0)
    batch = records(*(attack.make(life, number) for number, attack in enumerate(ATTACKS.values())))
    told = [finding for _, finding in replay(batch, tags(len(ATTACKS)), Thresholds())]
    assert {finding.detector for finding in told} == set(OF_RECORDS)
    for finding in told:
        for text in finding.evidence:
            condition = parsed(text)
            assert finding.subject.id in condition.parameters
            assert condition.since_s is not None
            assert condition.since_s <= finding.seen_s


def test_who_is_flooded_is_no_source() -> None:
    batch = records(syn_flood_in(Life(16.0), 0))
    assert {finding.role for _, finding in replay(batch, tags(1), Thresholds())} == {"victim"}


def test_what_came_last_is_looked_at_a_moment_later_though_nothing_follows() -> None:
    batch, came_s = records(udp_flood_out(Life(16.0), 0)), EPOCH + 16.0
    looking = Records(Thresholds(), 1)
    assert not looking.take(batch, tags(1), came_s)
    assert not looking.look(came_s + Records.GATHER_S / 2)
    assert {finding.detector for finding in looking.look(came_s + Records.GATHER_S)} == {"udp_flood"}
