"""Every attack is found within 3 s of its threshold, in the time of the records, and nobody else is accused."""

from functools import cache

import numpy as np
import pytest

from suimon.detection.records import OF_RECORDS
from suimon.detection.replay import replay
from suimon.detection.thresholds import Thresholds
from suimon.model.findings import Finding
from tests.detection.attacks import ATTACKS, BEGIN_S
from tests.detection.traffic import EPOCH, Flows, Life, records, tags

UNTIL_S = 24.0
INNOCENTS = 20
GUESTS = {name: INNOCENTS + number for number, name in enumerate(ATTACKS, 1)}
CASES = [(name, sampling) for name in ATTACKS for sampling in (1, 64, 512)]


@cache
def innocents() -> Flows:
    """Of guests 0 to 20; those who are attacked or attack below have ordinary traffic besides."""
    life = Life(UNTIL_S)
    busy = (life.relay(1, 10), life.web_server(2, 2500), life.name_server(3, 2000), life.resolver(4, 1500))
    ordinary = [life.people(guest) for guest in range(7, INNOCENTS + len(ATTACKS) + 1)]
    return np.concatenate((*busy, life.monitor(5), life.speed_test(6, 80), *ordinary))


@cache
def found(sampling: int, attacked: bool) -> list[tuple[float, Finding]]:
    life = Life(UNTIL_S, seed=3)
    made = [attack.make(life, GUESTS[name]) for name, attack in ATTACKS.items() if attacked]
    batch = records(innocents(), *made, sampling=sampling)
    told = replay(batch, tags(INNOCENTS + len(ATTACKS) + 1), Thresholds())
    return [(now_s - EPOCH, finding) for now_s, finding in told]


@pytest.mark.parametrize("attacked", [False, True])
@pytest.mark.parametrize("sampling", [1, 64, 512])
def test_innocents_are_not_accused(sampling: int, attacked: bool) -> None:
    guilty = {f"port-{number}" for number in GUESTS.values()}
    told = [finding for _, finding in found(sampling, attacked)]
    assert [finding.words for finding in told if finding.subject.id not in guilty or not attacked] == []


@pytest.mark.parametrize(("name", "sampling"), CASES)
def test_it_is_found_in_time(name: str, sampling: int) -> None:
    attack = ATTACKS[name]
    told = [(now_s, each) for now_s, each in found(sampling, True) if each.subject.id == f"port-{GUESTS[name]}"]
    assert {each.role for _, each in told} <= {attack.role}, "who is attacked is accused, or the other way round"
    its = [(now_s, each) for now_s, each in told if each.detector == attack.detector]
    if sampling not in attack.samplings:
        return
    first_s, first = its[0]
    assert BEGIN_S <= first_s <= BEGIN_S + attack.crossed_s + 3.0
    assert first.project_id == f"project-{GUESTS[name] % 7}"
    assert abs(first.since_s - EPOCH - BEGIN_S) <= 1.5
    assert len({each.id for _, each in its}) == 1, "one thing that lasts is one finding"
    if attack.number:
        # Sampling 1 of N, k packets seen: the error is 1 / sqrt(k), and 500 to 1,000 are seen of the fastest at 64.
        error = {1: 0.05, 64: 0.2, 512: 0.5}[sampling]
        assert its[-1][1].numbers[attack.number] == pytest.approx(attack.true, rel=error)


def test_each_detector_of_records_has_an_attack() -> None:
    assert {attack.detector for attack in ATTACKS.values()} == set(OF_RECORDS)
