"""Step 10: agents and the controller are killed under traffic, and nothing is lost, touched or opened."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import msgspec

from suimon.lab.births import Birth, touched
from suimon.lab.error import LabError
from suimon.lab.measure import Probe
from suimon.lab.tour.guide import Guide
from suimon.lab.tour.routing import floating_address

_MOST_S = 60
_RETURN_S = 90
"""More than it takes a gateway host that is back to serve again."""
_MOST_LOST = 3000


class Stream(msgspec.Struct, frozen=True):
    """1,000 numbered UDP packets a second and one TCP stream from `source` to `target`, which it knows as `address`."""

    way: str
    source: str
    target: str
    address: str


class Window(msgspec.Struct, frozen=True):
    """What a window of traffic showed: lost UDP packets by stream, and TCP streams that broke or were spoilt."""

    sent: int
    lost: dict[str, int]
    longest_gap_ms: float
    broken: list[str]

    @property
    def clean(self) -> bool:
        return not self.broken and not any(self.lost.values())


def show(guide: Guide) -> None:
    streams = _streams(guide)
    _killed(guide, streams)
    _switch_killed(guide, streams)
    _lease_in_the_gap(guide)
    _nobody_home(guide)


def _killed(guide: Guide, streams: list[Stream]) -> None:
    guide.tell(
        "1,000 UDP packets/s and a TCP stream on each of four ways; meanwhile each agent in turn is killed with -9"
    )
    guide.tell("and started, then the controller.")
    _await_gateways(guide)
    before, judged, begun = _flows(guide), guide.lab.cloud.judgements(), time.monotonic()
    took: list[str] = []
    seen = window(guide, streams, partial(_kill_all, guide, took))
    guide.tell(f"All are back: {', '.join(took)}.")
    if not seen.clean:
        _compare(guide, streams, seen, time.monotonic() - begun)
    guide.check(seen.clean, "with kills, four ways", _shown(seen))
    changed = touched(before, _flows(guide))
    judgements = guide.lab.cloud.judgements().items()
    new = [f"{name}: {line}" for name, lines in judgements for line in lines[len(judged[name]) :]]
    told = [str(len(changed)), *changed[:1], *new]
    guide.check(not changed, f"of {len(before)} flows, touched by the restarts", "; ".join(told))


def _compare(guide: Guide, streams: list[Stream], seen: Window, seconds: float) -> None:
    """LabError if this machine loses traffic without any kill, too: nothing follows from what was lost with them."""
    guide.tell(f"It was not clean: {_shown(seen)}. The same without kills, as long.")
    control = window(guide, streams, partial(time.sleep, seconds))
    if not control.clean:
        raise LabError(f"inconclusive, not passed: without kills traffic was lost, too: {_shown(control)}")


def _kill_all(guide: Guide, took: list[str]) -> None:
    """Each is killed when the one before works again; the controller, when every hypervisor follows it again."""
    cloud = guide.lab.cloud
    for host in guide.lab.layout.hosts:
        begun = time.monotonic()
        guide.command(f"$ kill -9 (agent of {host.name})")
        cloud.kill_agent(host)
        cloud.start_agent(host)
        cloud.await_agent(host)
        took.append(f"agent of {host.name} {time.monotonic() - begun:.1f} s")
    begun = time.monotonic()
    guide.command("$ kill -9 (controller)")
    cloud.kill_controller()
    cloud.start_controller()
    cloud.await_hosts()
    took.append(f"controller, all hypervisors following it, {time.monotonic() - begun:.1f} s")


def _switch_killed(guide: Guide, streams: list[Stream]) -> None:
    lab, host = guide.lab, guide.lab.layout.host("hv1")
    guide.tell(
        "ovs-vswitchd of hypervisor 1 is killed and started: its agent, which lives, puts all flows back at once."
    )

    def act() -> None:
        guide.command("$ kill -9 (ovs-vswitchd of hv1)")
        lab.kill_vswitchd(host)
        lab.start_vswitchd(host)
        # Until packets pass again, which the receivers see.
        time.sleep(1)

    seen = window(guide, streams, act)
    guide.check(
        max(seen.lost.values()) < _MOST_LOST, "1,000 packets a second on each way, through hypervisor 1", _shown(seen)
    )
    guide.check(not seen.broken, "and every TCP stream went on")


def _lease_in_the_gap(guide: Guide) -> None:
    guide.tell(
        "A guest asks for an address while the agent of its hypervisor is dead, for 3 s; then the agent is started."
    )
    port = guide.cloud.create("port", "create", "late1", "--network", "blue", "--host", "hv1")
    host = guide.lab.layout.host("hv1")
    guide.lab.cloud.kill_agent(host)
    guest = guide.lab.guests.add("late1", "hv1", str(port["id"]), str(port["mac_address"]))
    client = guide.lab.guests.request_lease(guest, tries=20)
    # The gap has to last for some of the client's tries, and there is nothing to wait for in it.
    time.sleep(3)
    guide.check(client.poll() is None, "nobody answered in the gap, the client goes on asking")
    begun = time.monotonic()
    guide.lab.cloud.start_agent(host)
    ended = client.wait(timeout=60)
    took_s = time.monotonic() - begun
    guide.check(ended == 0, "its own retry got the lease, after the agent's start", f"{took_s:.1f} s")
    guide.lab.cloud.await_agent(host)


def _nobody_home(guide: Guide) -> None:
    lab, host = guide.lab, guide.lab.layout.host("hv1")
    guide.tell(
        "On hypervisor 1 the agent and ovs-vswitchd are dead: does anything cross from blue1 to pub1, another network?"
    )
    lab.cloud.kill_agent(host)
    lab.kill_vswitchd(host)
    crossed = _frames_across(guide)
    guide.check(crossed == 0, "both dead: of 20 frames, crossed", crossed)
    lab.start_vswitchd(host)
    crossed = _frames_across(guide)
    guide.check(crossed == 0, "ovs-vswitchd back, without its agent: of 20 frames, crossed", crossed)
    lab.cloud.start_agent(host)
    address = guide.address("blue2")
    took_s = guide.await_true(lambda: guide.measure.ping("blue1", address)[0] == 0, timeout_s=30)
    guide.check(took_s < 30, "the agent back: blue1 reaches blue2 again")
    lab.cloud.await_agent(host)


def _frames_across(guide: Guide) -> int:
    """Of 20 frames of blue1's, half to pub1's MAC and half to everybody's, how many pub1 gets."""
    liar, victim = guide.lab.guests.get("blue1"), guide.lab.guests.get("pub1")
    says = ("--source-mac", liar.mac, "--source-ip", guide.address("blue1"))
    with guide.measure.probe("pub1", "receive", "5003", "--patience", "2", "--idle", "0.5") as receiver:
        receiver.ready()
        for target in (victim.mac, "ff:ff:ff:ff:ff:ff"):
            with guide.measure.probe(
                "blue1", "forge", guide.address("pub1"), "5003", *says, "--target-mac", target
            ) as forger:
                forger.result()
        return int(receiver.result()["received"])


def _streams(guide: Guide) -> list[Stream]:
    return [
        Stream("same host", "blue1", "blue3", guide.address("blue3")),
        Stream("VXLAN", "blue1", "blue2", guide.address("blue2")),
        Stream("VLAN provider", "pub1", "pub2", guide.address("pub2")),
        Stream("floating IP", "internet", "blue1", floating_address(guide)),
    ]


def window(guide: Guide, streams: list[Stream], act: Callable[[], None]) -> Window:
    """All streams from a second before `act` is begun until it is done."""
    lasts = ("--seconds", str(_MOST_S))
    with ExitStack() as stack:

        def begin(where: str, *args: str) -> Probe:
            return stack.enter_context(guide.measure.probe(where, *args))

        receivers = [(begin(s.target, "receive", "9000"), begin(s.target, "accept", "9001")) for s in streams]
        for udp, tcp in receivers:
            udp.ready()
            tcp.ready()
        senders = [
            (
                begin(s.source, "send", s.address, "9000", *lasts),
                begin(s.source, "stream", s.address, "9001", *lasts, "--kbps", "800"),
            )
            for s in streams
        ]
        time.sleep(1)
        begun = time.monotonic()
        act()
        took_s = time.monotonic() - begun
        sent = [(udp.enough().result(), tcp.enough().result()) for udp, tcp in senders]
        received = [(udp.enough().result(), tcp.result()) for udp, tcp in receivers]
    if took_s > _MOST_S - 5:
        raise LabError(f"inconclusive, not passed: this machine is too busy to do it all within {_MOST_S} s")
    ways = [stream.way for stream in streams]
    return Window(
        sent=sum(udp["sent"] for udp, _ in sent),
        lost={
            way: out["sent"] - into["received"] for way, (out, _), (into, _) in zip(ways, sent, received, strict=True)
        },
        longest_gap_ms=max(udp["longest_gap_ms"] for udp, _ in received),
        broken=[
            way
            for way, (_, out), (_, into) in zip(ways, sent, received, strict=True)
            if out["failure"] or not into["intact"] or into["bytes"] != out["bytes"]
        ],
    )


def _shown(window: Window) -> str:
    lost = ", ".join(f"{way} {count}" for way, count in window.lost.items())
    broken = f"TCP broken: {', '.join(window.broken)}" if window.broken else "every TCP stream whole"
    return f"of {window.sent} UDP packets lost: {lost}; longest gap {window.longest_gap_ms:.0f} ms; {broken}"


def _flows(guide: Guide) -> dict[str, Birth]:
    """Of all bridges, each with its bridge."""
    found: dict[str, Birth] = {}
    for host in guide.lab.layout.hosts:
        switch = guide.lab.switch(host.name)
        for bridge in switch.bridges():
            found |= {f"{host.name} {bridge}: {flow}": birth for flow, birth in switch.flows(bridge).items()}
    return found


def _await_gateways(guide: Guide) -> None:
    """One that was silent, as the steps before kept its switch busy, serves again a minute later: flows change then."""
    begun = time.monotonic()
    while guide.lab.cloud.is_a_gateway_away():
        waited_s = time.monotonic() - begun
        if waited_s > _RETURN_S:
            return
        if waited_s < 0.5:
            guide.tell("First a gateway host, which was silent for a moment, is to serve again: within a minute or so.")
        time.sleep(0.5)
