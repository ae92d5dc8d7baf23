"""`python -m tests.chaos --seconds 600`: exit status 1 when a promise was broken, 2 when the run says nothing."""

from __future__ import annotations

import argparse
import logging
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from suimon.lab.guests import Guest
from suimon.lab.lab import Lab
from suimon.lab.layout import PUBLIC_NETWORK, LabConfig
from tests.chaos import verdict
from tests.chaos.churn import Churn
from tests.chaos.faults import Faults
from tests.chaos.streams import Outcome, Streams, Way
from tests.system.clouds import connect

_CONTROL_S = 5.0
_GUESTS = {"one": "hv1", "two": "hv1", "far": "hv2", "shut": "hv1", "shutfar": "hv2", "alien": "hv2"}
"""`shut…` have a group without any ingress rule; `alien` is on a network of its own with the same addresses."""


def main() -> int:
    options = _options()
    logging.getLogger("keystoneauth").setLevel(logging.CRITICAL)  # It tells of every controller that was killed.
    chance = random.Random(options.seed)
    number = 100 + os.getpid() % 100
    with tempfile.TemporaryDirectory(prefix="smt") as root:
        config = LabConfig("smtchaos", options.hosts, number, 9600 + number, f"{root}/labs")
        lab = Lab(config, print)
        try:
            lab.up()
            return _run(lab, options, chance, Path(root))
        finally:
            lab.down()


def _run(lab: Lab, options: argparse.Namespace, chance: random.Random, directory: Path) -> int:
    network_id, outside_id, guests = _build(lab)
    ways, churn = _ways(guests, options.pps), Churn(lab, network_id, outside_id, chance)
    print(f"seed {options.seed}; {len(ways)} ways; {_CONTROL_S:g} s of control without faults")
    control = Streams(lab, ways, directory)
    with control.running():
        time.sleep(_CONTROL_S)
    broken = list(verdict.lost(control.outcomes(), Faults(lab, chance), options.longest_gap_ms))
    if broken:
        print("inconclusive: without any fault,", *broken, sep="\n  ")
        return 2

    faults = Faults(lab, chance)
    streams = Streams(lab, ways, directory)
    before = verdict.flows(lab, outside_id)
    ends = time.monotonic() + options.seconds
    with streams.running(), churn.running():
        while time.monotonic() < ends:
            begun = time.monotonic()
            what = faults.one()
            print(f"  {begun:.3f} for {time.monotonic() - begun:.3f} s: {what}", flush=True)
            time.sleep(chance.uniform(0.2, options.pause))
    lab.cloud.await_hosts(timeout_s=60)
    outcomes = streams.outcomes()
    wrong = [
        *verdict.lost(outcomes, faults, options.longest_gap_ms),
        *verdict.touched(before, verdict.flows(lab, outside_id), [guest.port_id for guest in guests.values()], faults),
        *verdict.drifted(lab),
    ]
    _print(outcomes, faults, churn.count)
    for sentence in wrong[:40]:
        print("WRONG:", sentence)
    print(f"{len(wrong)} promises broken" if wrong else "every promise kept")
    return 1 if wrong else 0


def _print(outcomes: Sequence[Outcome], faults: Faults, changes: int) -> None:
    told = ", ".join(f"{count} {name}" for name, count in sorted(faults.counts.items()))
    print(f"{faults.counts.total()} faults ({told}), {changes} changes, {sum(each.sent for each in outcomes)} packets")
    for outcome in outcomes:
        way = outcome.way
        print(f"{way.name}: {outcome.sent} sent, {outcome.received} received{'' if way.allowed else ' (none may be)'}")
        if way.allowed:
            for gap, count, width_ms in outcome.widths_ms(faults.gaps):
                print(f"  {gap.begun:.3f}-{gap.ended:.3f} {gap.fault} {gap.host}: {count} lost in {width_ms:.0f} ms")


def _build(lab: Lab) -> tuple[str, str, dict[str, Guest]]:
    """A network with guests, one with an alien, a router to outside; a guest's lease is its address."""
    cloud = connect(lab).network
    kept = cloud.create_network(name="kept")
    subnet = cloud.create_subnet(network_id=kept.id, ip_version=4, cidr="10.20.0.0/16")
    other = cloud.create_network(name="other")
    cloud.create_subnet(network_id=other.id, ip_version=4, cidr="10.20.0.0/16")
    flat = {"provider_network_type": "flat", "provider_physical_network": "public", "is_router_external": True}
    outside = cloud.create_network(name="outside", **flat)
    pool = [{"start": str(PUBLIC_NETWORK[50]), "end": str(PUBLIC_NETWORK[200])}]
    addresses = {"cidr": str(PUBLIC_NETWORK), "allocation_pools": pool, "enable_dhcp": False}
    cloud.create_subnet(network_id=outside.id, ip_version=4, **addresses)
    router = cloud.create_router(name="out", external_gateway_info={"network_id": outside.id})
    cloud.add_interface_to_router(router, subnet_id=subnet.id)
    shut = cloud.create_security_group(name="shut")
    open_ = cloud.create_security_group(name="open")
    cloud.create_security_group_rule(security_group_id=open_.id, direction="ingress", protocol="udp")
    cloud.update_quota(connect(lab).current_project_id, security_groups=-1, ports=-1, security_group_rules=-1)
    guests = {}
    for name, host in _GUESTS.items():
        on, group = (other, open_) if name == "alien" else (kept, shut if name.startswith("shut") else open_)
        wanted = {"network_id": on.id, "name": name, "binding_host_id": host, "security_group_ids": [group.id]}
        port = cloud.create_port(**wanted)
        guests[name] = lab.guests.lease(lab.guests.add(name, host, port.id, port.mac_address))
    return kept.id, outside.id, guests


def _ways(guests: dict[str, Guest], pps: float) -> list[Way]:
    one, two, far, alien = (guests[name] for name in ("one", "two", "far", "alien"))
    return [
        Way("same host", one, two, pps),
        Way("same host, back", two, one, pps),
        Way("tunnel", one, far, pps),
        Way("tunnel, back", far, two, pps),
        Way("forbidden by a group", two, guests["shut"], pps / 20, allowed=False),
        Way("forbidden by a group, tunnel", one, guests["shutfar"], pps / 20, allowed=False),
        Way("forbidden between networks", one, alien, pps / 20, allowed=False),
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description="Kill and cut under traffic and changes."
    )
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--hosts", type=int, default=2)
    parser.add_argument("--pps", type=float, default=450, help="packets a second on each of four ways")
    parser.add_argument("--pause", type=float, default=3, help="the longest pause between faults, seconds")
    parser.add_argument("--longest-gap-ms", type=float, default=400, help="that a killed ovs-vswitchd may cost")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
