"""Step 6: a rate limit and a port block on one port, its neighbour untouched, and all as before when they go."""

from __future__ import annotations

from suimon.lab.tour.guide import Guide

_LIMIT_MBPS = 10
_TOLERANCE = 0.1
_UNLIMITED_S = 1.5


def show(guide: Guide) -> None:
    guide.tell("Before: what blue2 sends and gets, and its neighbour green1 on the same hypervisor.")
    before = _rates(guide, seconds=_UNLIMITED_S)
    guide.check(min(before.values()) > 2 * _LIMIT_MBPS, "unlimited, all are far above 10 Mbit/s", _shown(before))
    guide.check(_open_ports(guide) == {25: "open", 587: "open"}, "tcp/25 and tcp/587 are open to blue2")
    _create_policy(guide)
    _limited(guide, before["green1 sends TCP"])
    guide.tell("The policy is taken off again.")
    guide.cloud.run("port", "unset", "--qos-policy", "blue2")
    guide.await_true(lambda: _open_ports(guide)[25] == "open")
    after = _rates(guide, seconds=_UNLIMITED_S)
    guide.check(min(after.values()) > 2 * _LIMIT_MBPS, "all are far above 10 Mbit/s again", _shown(after))
    guide.check(_open_ports(guide) == {25: "open", 587: "open"}, "tcp/25 and tcp/587 are open again")


def _create_policy(guide: Guide) -> None:
    cloud = guide.cloud
    guide.tell(
        "A QoS policy: 10 Mbit/s each way, and nothing to tcp/25. The block is ours: the client has no word for it."
    )
    policy = cloud.create("network", "qos", "policy", "create", "tight")
    limit = ["network", "qos", "rule", "create", "--type", "bandwidth-limit", "--max-kbps", str(_LIMIT_MBPS * 1000)]
    for way in ("--egress", "--ingress"):
        cloud.run(*limit, way, "tight")
    block = {"direction": "egress", "protocol": "tcp", "port_range_min": 25, "port_range_max": 25}
    cloud.call("POST", f"/v2.0/qos/policies/{policy['id']}/port_block_rules", {"port_block_rule": block})


def _limited(guide: Guide, neighbour_before_mbps: float) -> None:
    blue1 = guide.address("blue1")
    patient = ("--patience", "5")
    with guide.measure.probe("blue1", "accept", "25", "--idle", "2", *patient) as server:
        server.ready()
        with guide.measure.probe("blue2", "stream", blue1, "25", "--seconds", "60", "--kbps", "80", *patient):
            guide.cloud.run("port", "set", "--qos-policy", "tight", "blue2")
            ended = server.result()["ended"]
            guide.check(ended == "silent", "the connection to tcp/25 that was open before is", "cut")
    guide.check(_open_ports(guide) == {25: "silent", 587: "open"}, "tcp/25 is dead, tcp/587 alive")
    during = _rates(guide, seconds=4)
    neighbour = during.pop("green1 sends TCP")
    for what, mbps in during.items():
        near = abs(mbps - _LIMIT_MBPS) <= _TOLERANCE * _LIMIT_MBPS
        guide.check(near, f"{what}, at a limit of 10 Mbit/s", f"{mbps:.2f} Mbit/s")
    shown = f"{neighbour:.0f} Mbit/s, before {neighbour_before_mbps:.0f}"
    # What is unlimited takes what CPU this machine has left: only a limit in the wrong place would halve it.
    guide.check(neighbour > neighbour_before_mbps / 2, "the neighbour on the same hypervisor, unlimited", shown)


def _rates(guide: Guide, *, seconds: float) -> dict[str, float]:
    """Mbit/s by what is measured: TCP by its bytes, UDP with its IP headers, of 25 Mbit/s offered."""
    measure, blue1, blue2 = guide.measure, guide.address("blue1"), guide.address("blue2")
    results = {
        "blue2 sends TCP": measure.tcp("blue2", "blue1", blue1, seconds=seconds),
        "blue2 gets TCP": measure.tcp("blue1", "blue2", blue2, seconds=seconds),
        "blue2 sends UDP": measure.udp("blue2", "blue1", blue1, kbps=25_000, seconds=seconds),
        "blue2 gets UDP": measure.udp("blue1", "blue2", blue2, kbps=25_000, seconds=seconds),
        # Never limited: its rate needs no mean of ups and downs.
        "green1 sends TCP": measure.tcp("green1", "blue3", guide.address("blue3"), seconds=_UNLIMITED_S),
    }
    return {what: result["rate_kbps"] / 1000 for what, result in results.items()}


def _open_ports(guide: Guide) -> dict[int, str]:
    """What blue2 sees of a mail server on blue1."""
    found = {}
    for port in (25, 587):
        with guide.measure.probe("blue1", "accept", str(port), "--idle", "0.5", "--patience", "4") as server:
            server.ready()
            found[port] = guide.measure.connection("blue2", guide.address("blue1"), port)
    return found


def _shown(rates: dict[str, float]) -> str:
    return ", ".join(f"{what} {mbps:.0f}" for what, mbps in rates.items())
