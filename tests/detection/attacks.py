"""The attacks of the goals' table and their kin, each by or on one guest, and when their thresholds are crossed."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tests.detection.traffic import (
    BACK,
    BARE,
    REFUSED,
    TCP,
    UDP,
    Flows,
    Life,
    connections,
    flows,
)

BEGIN_S = 12.0
ONE = 99_999
"""The peer that is attacked, or attacks."""


class Attack(NamedTuple):
    """`crossed_s` is how long after its beginning it is above the default threshold."""

    detector: str
    role: str
    make: Callable[[Life, int], Flows]
    crossed_s: float
    samplings: tuple[int, ...]
    """Those at which enough packets are seen for it to be found within 3 s of that."""
    number: str = ""
    true: float = 0.0
    """A figure of the finding, and what it really is."""


def spam(life: Life, guest: int) -> Flows:
    at = life.times(50, BEGIN_S)
    n = len(at)
    out = {"own_l4": life.ephemeral(n), "peer_l4": 25, "peer": life.rng.integers(0, 1 << 20, n)}
    return connections(guest, True, begun=at, lasts=1.0, packets=20, size=500, **out)


def one_server_spam(life: Life, guest: int) -> Flows:
    """A stolen account: all by one server."""
    at = life.times(50, BEGIN_S)
    out = {"own_l4": 1024 + np.arange(len(at)), "peer_l4": 587, "peer": ONE}
    return connections(guest, True, begun=at, lasts=1.0, packets=20, size=500, **out)


def port_scan(life: Life, guest: int) -> Flows:
    at = life.times(200, BEGIN_S)
    tried = {"own_l4": 40000, "peer": ONE, "peer_l4": 1 + np.arange(len(at))}
    return np.concatenate(
        (
            flows(guest, True, TCP, BARE, begun=at, **tried),
            flows(guest, False, TCP, REFUSED, begun=at + 0.01, **tried),
        )
    )


def udp_port_scan(life: Life, guest: int) -> Flows:
    at = life.times(200, BEGIN_S)
    return flows(guest, True, UDP, begun=at, own_l4=40000, peer=ONE, peer_l4=1 + np.arange(len(at)))


def host_scan(life: Life, guest: int) -> Flows:
    at = life.times(200, BEGIN_S)
    tried = {"own_l4": life.ephemeral(len(at)), "peer_l4": 22, "peer": 1 + np.arange(len(at))}
    return flows(guest, True, TCP, BARE, begun=at, **tried)


def syn_flood_out(life: Life, guest: int) -> Flows:
    at = life.times(8000, BEGIN_S)
    n = len(at)
    return flows(guest, True, TCP, BARE, begun=at, own_l4=life.rng.integers(1024, 65535, n), peer=ONE, peer_l4=80)


def syn_flood_in(life: Life, guest: int) -> Flows:
    """From forged sources; the guest answers each, to whomever."""
    at = life.times(8000, BEGIN_S)
    n = len(at)
    asked = {"own_l4": 80, "peer_l4": life.rng.integers(1024, 65535, n), "peer": life.rng.integers(0, 1 << 24, n)}
    return np.concatenate(
        (
            flows(guest, False, TCP, BARE, begun=at, **asked),
            flows(guest, True, TCP, BACK, begun=at + 0.001, **asked),
        )
    )


def udp_flood_out(life: Life, guest: int) -> Flows:
    lasts = life.until_s - BEGIN_S
    shape = {"begun": BEGIN_S, "lasts": lasts, "packets": 40_000 * lasts, "size": 100}
    return flows(guest, True, UDP, own_l4=5000, peer=ONE, peer_l4=80, **shape)


def udp_flood_in(life: Life, guest: int) -> Flows:
    lasts = life.until_s - BEGIN_S
    shape = {"begun": BEGIN_S, "lasts": lasts, "packets": 400 * lasts, "size": 100}
    return flows(guest, False, UDP, own_l4=80, peer=np.arange(100), peer_l4=5000, **shape)


def abused_resolver(life: Life, guest: int) -> Flows:
    at = np.arange(BEGIN_S, life.until_s, 1 / 200)
    asked = {"own_l4": 53, "peer_l4": life.ephemeral(len(at)), "peer": ONE}
    return np.concatenate(
        (
            flows(guest, False, UDP, begun=at, size=70, **asked),
            flows(guest, True, UDP, begun=at, packets=30, size=1480, **asked),
        )
    )


def reflected(service: int) -> Callable[[Life, int], Flows]:
    def make(life: Life, guest: int) -> Flows:
        at = np.arange(BEGIN_S, life.until_s, 1 / 200)
        n = len(at)
        asked = {"own_l4": life.ephemeral(n), "peer_l4": service, "peer": life.rng.integers(0, 2000, n)}
        return flows(guest, False, UDP, begun=at, packets=30, size=1480, **asked)

    return make


def brute_force(service: int, client: bool) -> Callable[[Life, int], Flows]:
    def make(life: Life, guest: int) -> Flows:
        at = life.times(20, BEGIN_S)
        ports: Any = 1024 + np.arange(len(at))
        sides = {"own_l4": ports, "peer_l4": service} if client else {"own_l4": service, "peer_l4": ports}
        return connections(guest, client, begun=at, lasts=0.5, packets=12, size=150, back_size=200, peer=ONE, **sides)

    return make


ATTACKS = {
    "spam": Attack("mass_mail", "source", spam, 0.8, (1, 64)),
    "one_server_spam": Attack("mass_mail", "source", one_server_spam, 6.0, (1,)),
    "port_scan": Attack("port_scan", "source", port_scan, 0.5, (1, 64)),
    "udp_port_scan": Attack("port_scan", "source", udp_port_scan, 0.5, (1,)),
    "host_scan": Attack("host_scan", "source", host_scan, 0.5, (1, 64)),
    "syn_flood_out": Attack("syn_flood", "source", syn_flood_out, 0.5, (1, 64, 512), "syn_per_s", 8000),
    "syn_flood_in": Attack("syn_flood", "victim", syn_flood_in, 1.0, (1, 64, 512), "syn_per_s", 8000),
    "udp_flood_out": Attack("udp_flood", "source", udp_flood_out, 1.0, (1, 64, 512), "packets_per_s", 40_000),
    "udp_flood_in": Attack("udp_flood", "victim", udp_flood_in, 1.0, (1, 64, 512), "packets_per_s", 40_000),
    "abused_resolver": Attack("reflection", "source", abused_resolver, 0.2, (1, 64, 512), "answers_kbps", 71_040),
    "reflected_dns": Attack("reflection", "victim", reflected(53), 0.6, (1, 64, 512), "answers_kbps", 71_040),
    "reflected_ntp": Attack("reflection", "victim", reflected(123), 0.6, (1, 64, 512), "answers_kbps", 71_040),
    "reflected_memcached": Attack("reflection", "victim", reflected(11211), 0.6, (1, 64, 512), "answers_kbps", 71_040),
    "ssh_from": Attack("brute_force", "source", brute_force(22, True), 3.0, (1,)),
    "ssh_to": Attack("brute_force", "victim", brute_force(22, False), 3.0, (1,)),
    "rdp_to": Attack("brute_force", "victim", brute_force(3389, False), 3.0, (1,)),
}
