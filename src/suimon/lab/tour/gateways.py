"""Step 11: out without a floating IP, by a gateway host; it is taken out of service, and then it dies."""

from __future__ import annotations

import time

import msgspec

from suimon.lab.layout import PUBLIC_GATEWAY, Host
from suimon.lab.tour.guide import Guide
from suimon.model.gateways import candidates, ranked

_PPS = 100
_MOST_LOST = 250
"""As much as a takeover costs: a gateway host that died in the last minute, as in the step before, isn't one yet."""
_MOST_GAP_S = 5.0


class _WayOut(msgspec.Struct, frozen=True):
    """The router's gateway host, the one that stands by, the router's address, and a guest who leaves by it."""

    active: Host
    standby: Host
    address: str
    guest: str


def show(guide: Guide) -> None:
    router = guide.cloud.show("router", "r1")
    hosts = guide.lab.layout.hosts
    order = ranked(str(router["id"]), candidates((host.name, host.tunnel_ip) for host in hosts))
    active, standby = (guide.lab.layout.host(each.host) for each in order)
    address = str(router["external_gateway_info"]["external_fixed_ips"][0]["ip_address"])
    # On another hypervisor than the one that is going to die.
    way = _WayOut(active, standby, address, "blue3" if active.name == "hv2" else "blue2")
    guide.tell(f"{way.guest} has no floating IP: it leaves with the router's address, by gateway host {active.name}.")
    stream = guide.measure.tcp(way.guest, "internet", PUBLIC_GATEWAY, seconds=1)
    guide.check(stream["intact"] and stream["peer"] == address, "the internet sees", stream.get("peer"))
    _drained(guide, way)
    _killed(guide, way)


def _drained(guide: Guide, way: _WayOut) -> None:
    guide.tell(
        f"{way.active.name} is taken out of service while {way.guest} sends: what others have it do goes elsewhere."
    )
    probe = guide.measure.probe
    with probe("internet", "receive", "9000") as receiver:
        receiver.ready()
        with probe(way.guest, "send", PUBLIC_GATEWAY, "9000", "--pps", str(_PPS), "--seconds", "90") as sender:
            time.sleep(0.5)
            told = guide.suimon("host", "drain", way.active.name)
            time.sleep(0.5)
            guide.suimon("host", "drain", way.active.name, "--undo")
            time.sleep(0.5)
            sent = sender.enough().result()["sent"]
        lost = sent - receiver.enough().result()["received"]
    drained = next((line for line in told.splitlines() if "is drained" in line), "")
    guide.check(drained != "", "done", drained)
    guide.check(lost <= _MOST_LOST, "out of service and back, lost", f"{lost} of {sent} packets, {_PPS} a second")


def _killed(guide: Guide, way: _WayOut) -> None:
    guide.tell(
        f"{way.active.name} dies, agent and switch: {way.standby.name} takes over. A connection is open meanwhile."
    )
    lab, probe = guide.lab, guide.measure.probe
    with probe("internet", "accept", "9001", "--idle", "4") as server:
        server.ready()
        with probe(way.guest, "stream", PUBLIC_GATEWAY, "9001", "--seconds", "90", "--kbps", "80"):
            time.sleep(1)
            guide.command(f"$ kill -9 (agent and ovs-vswitchd of {way.active.name})")
            lab.cloud.kill_agent(way.active)
            lab.kill_vswitchd(way.active)
            took_s = guide.await_true(lambda: _answered(guide, way, patience_s=0.4))
            over_at = time.monotonic()
            guide.check(took_s < _MOST_GAP_S, "new connections get out again after", f"{took_s:.1f} s")
            time.sleep(2)
        old = server.result()
    survived = (old["last_at"] or 0) > over_at
    guide.tell(f"The connection that was open {'went on' if survived else 'broke: it has to be made again'}.")
    lab.start_vswitchd(way.active)
    lab.cloud.start_agent(way.active)
    lab.cloud.await_agent(way.active)
    guide.check(_answered(guide, way), f"{way.active.name} is back, and {way.guest} still gets out")


def _answered(guide: Guide, way: _WayOut, *, patience_s: float = 1.5) -> bool:
    """Whether a new connection is answered. Nobody listens there, but a refusal has come all the way, too."""
    return guide.measure.connection(way.guest, PUBLIC_GATEWAY, 9003, patience_s=patience_s) == "refused"
