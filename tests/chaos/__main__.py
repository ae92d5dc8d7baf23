"""`python -m tests.chaos --seconds 600`: exit status 1 when a promise was broken, 2 when the run says nothing."""

from __future__ import annotations

import argparse
import logging
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path

import msgspec

from suimon.lab.guests import Guest
from suimon.lab.lab import Lab
from suimon.lab.layout import PUBLIC_GATEWAY
from tests.chaos import summary, verdict
from tests.chaos.churn import Churn
from tests.chaos.faults import GATEWAY_LOST, GATEWAY_RETURNS_S, KINDS, VSWITCHD_KILLED, Faults
from tests.chaos.streams import Outcome, Streams, Way
from tests.chaos.turns import Turns
from tests.system.clouds import connect, leading_out, outside_network, two_hypervisors

_CONTROL_S = 3.0
_WORDS = ("every promise kept", "not every promise was kept", "inconclusive")
_GUESTS = {"one": "hv1", "two": "hv1", "far": "hv2", "next": "hv2", "shut": "hv1", "shutfar": "hv2", "alien": "hv2"}
"""`shut…` have a group without any ingress rule; `alien` is on a network of its own with the same addresses."""


def main() -> int:
    options = _options()
    logging.getLogger("keystoneauth").setLevel(logging.CRITICAL)  # It tells of every controller that was killed.
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as files, two_hypervisors("chaos", hosts=options.hosts) as lab:
        return _run(lab, options, chance, Path(files))


def _run(lab: Lab, options: argparse.Namespace, chance: random.Random, directory: Path) -> int:
    cloud = _build(lab)
    faults, ways = Faults(lab, chance, cloud.gateways[0], options.only), _ways(cloud, options.pps)
    print(f"seed {options.seed}; {len(ways)} ways; {_CONTROL_S:g} s of control without faults")
    control, turns = Streams(lab, ways, directory), Turns(lab)
    with turns.running(), control.running():
        time.sleep(_CONTROL_S)
    if broken := list(verdict.lost(control.outcomes(), faults, turns.samples)):
        print("inconclusive: without any fault,", *broken, sep="\n  ")
        return 2

    streams, turns = Streams(lab, ways, directory), Turns(lab)
    churn = Churn(lab, cloud.network_id, cloud.outside_id, chance)
    before = verdict.flows(lab, cloud.outside_id)
    ends = time.monotonic() + options.seconds
    with turns.running(), streams.running(), churn.running():
        while (begun := time.monotonic()) < ends:
            what = faults.one(ends - begun)
            print(f"  {begun:.3f} for {time.monotonic() - begun:.3f} s: {what}", flush=True)
            time.sleep(chance.uniform(0.2, options.pause))
    lab.cloud.await_hosts(timeout_s=60)
    outcomes = streams.outcomes()
    bounds_ms = {VSWITCHD_KILLED: options.longest_gap_ms, GATEWAY_LOST: options.longest_takeover_ms}
    kept = [guest.port_id for guest in cloud.guests.values()]
    unexplained = _touched(lab, lambda: verdict.touched(before, verdict.flows(lab, cloud.outside_id), kept, faults))
    promises = {
        "lost outside of every gap": verdict.lost(outcomes, faults, turns.samples),
        "gaps that were too long": verdict.too_long(outcomes, faults, bounds_ms),
        "wrong verdicts": verdict.mistaken(lab, outcomes),
        "unexplained changes": chain(unexplained, verdict.drifted(lab)),
        "orphans": verdict.orphaned(lab),
    }
    broken_promises = {name: list(sentences) for name, sentences in promises.items()}
    if options.losses:
        options.losses.write_text("\n".join(summary.losses(outcomes, faults)) + "\n")
    status = _told(options, outcomes, faults, churn.count, broken_promises)
    if status == 0 and (unserved := list(verdict.unserved(outcomes, faults, turns.samples))):
        print("inconclusive:", *unserved, sep="\n  ")
        return 2
    print(_WORDS[status])
    return status


def _touched(lab: Lab, touched: Callable[[], Iterable[str]]) -> list[str]:
    """A gateway host that a gap was too long for serves again a minute later: until then, flows differ for that."""
    ends = time.monotonic() + GATEWAY_RETURNS_S
    while (found := list(touched())) and time.monotonic() < ends and lab.cloud.is_a_gateway_away():
        time.sleep(1)
    return found


def _told(
    options: argparse.Namespace, outcomes: list[Outcome], faults: Faults, changes: int, broken: dict[str, list[str]]
) -> int:
    """Print all of it; the exit status."""
    packets = sum(outcome.sent for outcome in outcomes)
    found = {"faults": faults.counts.total(), "changes": changes, "packets": packets}
    print("", "lost in declared gaps:", *summary.gaps(outcomes, faults), "", sep="\n")
    print(summary.table(outcomes, faults, found, {name: len(sentences) for name, sentences in broken.items()}))
    for name, sentences in broken.items():
        for sentence in sentences[:20]:
            print(f"WRONG, {name}: {sentence}")
    if any(broken.values()):
        return 1
    lacking = summary.too_few(found, options.seconds)
    if lacking:
        print("; ".join(lacking))
    return 2 if lacking else 0


class Cloud(msgspec.Struct, frozen=True):
    """`gateways` are the hosts that lead the router out, by rank."""

    network_id: str
    outside_id: str
    guests: dict[str, Guest]
    gateways: tuple[str, ...]
    internet: Guest


def _build(lab: Lab) -> Cloud:
    """A network with guests, one with an alien, a router to outside; a guest's lease is its address."""
    cloud = connect(lab).network
    kept = cloud.create_network(name="kept")
    subnet = cloud.create_subnet(network_id=kept.id, ip_version=4, cidr="10.20.0.0/16")
    other = cloud.create_network(name="other")
    cloud.create_subnet(network_id=other.id, ip_version=4, cidr="10.20.0.0/16")
    outside = outside_network(lab)
    router = cloud.create_router(name="out", external_gateway_info={"network_id": outside.id})
    cloud.add_interface_to_router(router, subnet=subnet.id)
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
    internet = Guest("internet", "", "", "", lab.layout.internet, lease={"ip": PUBLIC_GATEWAY})
    return Cloud(kept.id, outside.id, guests, tuple(each.name for each in leading_out(lab, router)), internet)


def _ways(cloud: Cloud, pps: float) -> list[Way]:
    guests = cloud.guests
    one, two, far, near_far, alien = (guests[name] for name in ("one", "two", "far", "next", "alien"))
    leaving = next(guest for guest in (one, far) if guest.host != cloud.gateways[0])
    return [
        Way("outside by a gateway host", leaving, cloud.internet, pps / 4, through=frozenset(cloud.gateways)),
        # Each guest sends one of them: a guest's interface holds some 270 packets while the switch waits for its turn.
        Way("on one host", one, two, pps),
        Way("on the other", far, near_far, pps),
        Way("tunnel", two, far, pps),
        Way("tunnel back", near_far, one, pps),
        Way("forbidden by a group", two, guests["shut"], pps / 20, allowed=False),
        Way("forbidden by a group by tunnel", one, guests["shutfar"], pps / 20, allowed=False),
        Way("forbidden between networks", one, alien, pps / 20, allowed=False),
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description="Kill and cut under traffic and changes."
    )
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--only", action="append", choices=KINDS, default=[], help="this fault; may be repeated")
    parser.add_argument("--hosts", type=int, default=2)
    parser.add_argument("--pps", type=float, default=450, help="packets a second on each of four ways")
    parser.add_argument("--pause", type=float, default=3, help="the longest pause between faults, seconds")
    parser.add_argument("--longest-gap-ms", type=float, default=400, help="that a killed ovs-vswitchd may cost")
    parser.add_argument("--longest-takeover-ms", type=float, default=2500, help="that a lost gateway host may cost")
    parser.add_argument("--losses", type=Path, metavar="FILE", help="put every lost packet and its gap in there")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
