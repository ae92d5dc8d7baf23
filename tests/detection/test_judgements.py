"""What is near an attack and is none: for each judgement of a detector something that it alone lets off, or doesn't."""

from collections.abc import Callable

import numpy as np
import pytest

from suimon.detection.records import Records
from suimon.detection.replay import replay
from suimon.detection.thresholds import Thresholds
from tests.detection.attacks import spam
from tests.detection.traffic import (
    ACK,
    BARE,
    CLIENT,
    EPOCH,
    FIN,
    NONE,
    TCP,
    UDP,
    Flows,
    Life,
    connections,
    flows,
    records,
    tags,
)


def found(made: Flows, sampling: int = 1) -> set[str]:
    return {finding.detector for _, finding in replay(records(made, sampling=sampling), tags(1), Thresholds())}


def steady(out: bool, kpps: float, l4_port: int = 5000, **columns: float) -> Flows:
    return flows(0, out, UDP, begun=0.0, lasts=10.0, packets=kpps * 10_000, own_l4=l4_port, peer_l4=443, **columns)


def quic(_life: Life) -> Flows:
    return np.concatenate((steady(True, 40.0), steady(False, 4.0)))


def video(_life: Life) -> Flows:
    """For ten seconds what a flood would send in five."""
    return steady(True, 10.0)


def small_unasked_answers(_life: Life) -> Flows:
    """Of a name server's port, but too small to be worth an attacker's while."""
    return steady(True, 10.0, l4_port=53, size=200)


def busy_resolver(life: Life) -> Flows:
    return life.resolver(0, 9000)


def copying(life: Life) -> Flows:
    """Very many sessions of SSH that carry something."""
    at = life.times(20)
    ports = {"own_l4": 1024 + np.arange(len(at)), "peer_l4": 22, "peer": 9}
    return connections(0, True, begun=at, lasts=0.5, packets=60, size=1000, **ports)


def knocking(life: Life) -> Flows:
    """Single packets of which no flags are known."""
    at = life.times(20)
    return flows(0, False, TCP, begun=at, own_l4=22, peer_l4=1024 + np.arange(len(at)), peer=9)


def slow_scan(_life: Life) -> Flows:
    """Of twice as many ports as would be too many within the window, but not within it."""
    at = np.arange(0.0, 40.0, 0.2)
    return flows(0, True, TCP, BARE, begun=at, own_l4=4000, peer=9, peer_l4=1 + np.arange(len(at)))


def late_answers(_life: Life) -> Flows:
    """Of very many questions at once, none of which is answered within half a second."""
    return flows(0, True, UDP, begun=np.linspace(0.0, 0.5, 400), own_l4=4000, peer=np.arange(400), peer_l4=53)


def somewhat_answered(_life: Life) -> Flows:
    """More hosts than would be too many, but for those that answer."""
    asked = flows(0, True, TCP, BARE, begun=np.linspace(0.0, 5.0, 120), own_l4=4000, peer_l4=22, peer=np.arange(120))
    answers = asked[:32].copy()
    answers["out"], answers["first"] = 0, ACK
    return np.concatenate((asked, answers))


@pytest.mark.parametrize(
    "make",
    [
        *(quic, video, small_unasked_answers, busy_resolver, copying, knocking),
        *(slow_scan, late_answers, somewhat_answered),
    ],
    ids=lambda make: make.__name__,
)
def test_it_is_let_off(make: Callable[[Life], Flows]) -> None:
    assert found(make(Life(12.0))) == set()


def test_who_gets_a_little_mail_is_no_relay() -> None:
    life = Life(16.0)
    at = life.times(2)
    got = connections(0, False, begun=at, lasts=1.0, packets=20, own_l4=587, peer_l4=life.ephemeral(len(at)), peer=4)
    assert found(np.concatenate((spam(life, 0), got))) == {"mass_mail"}


def clients(life: Life, rate: float, last: int, packets: int) -> Flows:
    """Connections to the guest's web server, as far as clients' packets tell, which end with this flag."""
    at = life.times(rate)
    asked = {"own_l4": 443, "peer_l4": life.ephemeral(len(at)), "peer": life.rng.integers(0, 1 << 18, len(at))}
    return flows(0, False, TCP, (CLIENT[0], ACK, ACK | last), begun=at, lasts=0.1, packets=packets, **asked)


def test_clients_that_come_and_stay_are_no_flood() -> None:
    assert found(clients(Life(6.0), 6000, 0, 8), sampling=16) == set()


def test_most_clients_that_come_and_go_are_no_flood() -> None:
    life = Life(6.0)
    assert found(np.concatenate((clients(life, 5000, FIN, 4), clients(life, 3000, 0, 4))), sampling=16) == set()


@pytest.mark.parametrize(
    ("protocol", "service", "kpps", "every_s"), [(UDP, 53, 5.0, 0.66), (UDP, 5000, 24.0, 0.33), (TCP, 80, 8.0, 0.2)]
)
def test_some_packets_of_a_coarse_sampling_prove_nothing(
    protocol: int, service: int, kpps: float, every_s: float
) -> None:
    """Three packets in two seconds stand for 5,000 a second, if each is one of 3,300; six for 24,000 of 7,920."""
    at, flags = np.arange(0.0, 10.0, every_s), BARE if protocol == TCP else NONE
    own, peers = {"own_l4": 4000, "peer_l4": service}, np.arange(len(at))
    few = records(flows(0, False, protocol, flags, begun=at, peer=peers, size=1480, **own))
    few["sampling"] = int(kpps * 1000 * (at[1] - at[0]))
    assert list(replay(few, tags(1), Thresholds())) == []


def test_connection_requests_told_of_late_are_added_to_those_before_them() -> None:
    """Though what they are compared with has been told of up to a later time by then."""
    asked = flows(0, True, TCP, BARE, begun=0.0, lasts=2.0, packets=3000, own_l4=5000, peer_l4=80)
    later = flows(0, True, TCP, (ACK,) * 3, begun=20.0, lasts=1.0, packets=10, own_l4=5001, peer_l4=80)
    watching, now_s = Records(Thresholds(), seed=1), EPOCH + 25.0
    told = []
    for part in (asked, later, asked):
        found = watching.take(records(part), tags(1), now_s) + watching.flush(now_s)
        told.append([each.detector for each in found])
    assert told == [[], [], ["syn_flood"]]


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize(("protocol", "detector"), [(TCP, "syn_flood"), (UDP, "udp_flood")])
def test_who_sends_half_of_a_flood_is_named(protocol: int, detector: str, half: bool) -> None:
    """In its words, as whose records prove it, and as whom to block."""
    packets = np.array([120_000 if half else 80_000, *[10_000] * 10])
    flood = {"begun": 0.0, "lasts": 4.0, "packets": packets, "peer": np.arange(11), "own_l4": 80, "peer_l4": 5000}
    made = records(flows(0, False, protocol, BARE if protocol == TCP else NONE, **flood))
    first = next(each for _, each in replay(made, tags(1), Thresholds()) if each.detector == detector)
    named = [
        "100.0.0.0" in first.words,
        "source 100.0.0.0" in first.evidence[0],
        first.suggestion is not None and first.suggestion.target == "100.0.0.0",
    ]
    assert named == [half] * 3
    assert ("any addresses" in first.words, first.suggestion is None) == (not half, not half)
