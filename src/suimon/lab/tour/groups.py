"""Step 5: security groups that open, close and cut; guests that lie about who they are."""

from __future__ import annotations

import time

from suimon.lab.measure import Json
from suimon.lab.tour.guide import Guide

_PATIENCE = ("--patience", "5")


def show(guide: Guide) -> None:
    _create_guarded(guide)
    _denied_then_allowed(guide)
    _cut(guide)
    _forged(guide)


def _create_guarded(guide: Guide) -> None:
    guide.tell("A guest on hypervisor 2 with a security group that lets nothing in.")
    guide.cloud.create("security", "group", "create", "guarded")
    where = ["--network", "blue", "--host", "hv2", "--security-group", "guarded"]
    guide.boot("hv2", guide.cloud.create("port", "create", "guarded1", *where))


def _denied_then_allowed(guide: Guide) -> None:
    address = guide.address("guarded1")
    guide.tell("TCP port 22 is closed to blue1, then opened. Why is what the model says, what the switches on the way")
    guide.tell("say they would do (--trace), and what became of a packet that guarded1 never hears of (--probe).")
    with guide.measure.probe("guarded1", "accept", "22", "--patience", "90") as server:
        server.ready()
        seen = guide.measure.connection("blue1", address, 22)
        guide.check(seen == "silent", "without a rule tcp/22 is", seen)
        _why(guide, reached=False, names=str(guide.cloud.show("security group", "guarded")["id"]))
        rule = allow(guide, "tcp", 22)
        _why(guide, reached=True, names=str(rule["id"]))
        took_s = guide.await_true(lambda: guide.measure.connection("blue1", address, 22) == "open")
        guide.check(took_s < 5, "with a rule tcp/22 is", "open")


def _why(guide: Guide, *, reached: bool, names: str) -> None:
    """Model, switches and packet agree, and what decides is named; for a disagreement the command fails."""
    question = ("blue1", "guarded1", "--proto", "tcp", "--port", "22", "--trace", "--probe")
    lines = guide.suimon("why", *question).splitlines()
    decided = next((line.strip() for line in lines if names in line), "")
    agree = lines[0].endswith(": yes" if reached else ": no") and any(line.startswith("Trace: ") for line in lines)
    guide.check(agree and decided != "", lines[0], decided)
    (seen,) = [line for line in lines if line.startswith("Probe: ")]
    guide.check(("it arrived" in seen) is reached, "and the packet itself", seen)


def _cut(guide: Guide) -> None:
    guide.tell(
        "A TCP stream and a UDP conversation are under way when their rules go; another, whose rule stays, is not."
    )
    conversation, kept = allow(guide, "udp", 5000), allow(guide, "udp", 5001)
    (ssh,) = [rule["ID"] for rule in guide.cloud.table("security", "group", "rule", "list", "guarded") if _is_ssh(rule)]
    address, lasts = guide.address("guarded1"), ("--seconds", "60")
    probe = guide.measure.probe
    with (
        probe("guarded1", "accept", "22", "--idle", "1.5", *_PATIENCE) as server,
        probe("guarded1", "duplex", "5000", *lasts, *_PATIENCE) as far,
        probe("guarded1", "receive", "5001", *_PATIENCE) as other,
    ):
        for receiver in (server, far, other):
            receiver.ready()
        with (
            probe("blue1", "stream", address, "22", *lasts, "--kbps", "800", *_PATIENCE) as client,
            probe("blue1", "duplex", "5000", "--peer", address, *lasts) as near,
            probe("blue1", "send", address, "5001", *lasts, "--pps", "100") as sender,
        ):
            for begun in (client, near, sender):
                begun.ready()
            guide.cloud.run("security", "group", "rule", "delete", str(conversation["id"]), str(ssh))
            deleted_at = time.monotonic()
            # The stream is cut when the server has waited for more in vain; the rest goes on as long.
            results = {"TCP stream": server.result()}
            results |= {"UDP to guarded1": far.enough().result(), "UDP replies": near.enough().result()}
            sent = sender.enough().result()["sent"]
            lost = sent - other.result()["received"]
    for what, result in results.items():
        _check_cut(guide, what, result, deleted_at)
    guide.check(lost == 0, f"the conversation on udp/5001, whose rule stays: {sent} packets", f"{lost} lost")
    guide.cloud.run("security", "group", "rule", "delete", str(kept["id"]))


def _check_cut(guide: Guide, what: str, result: Json, deleted_at: float) -> None:
    last_at = result["last_at"]
    guide.check(last_at is not None, f"{what} was under way")
    late_ms = (last_at - deleted_at) * 1000
    shown = f"{abs(late_ms):.0f} ms {'after' if late_ms > 0 else 'before'} the client had said that it is deleted"
    guide.check(late_ms < 500, f"{what} was cut; its last packet came", shown)


def _forged(guide: Guide) -> None:
    allow(guide, "udp", 5002)
    liar, victim = guide.lab.guests.get("blue1"), guide.lab.guests.get("guarded1")
    own = guide.address("blue1")
    guide.tell("blue1 sends frames made by hand: with its own addresses, with a forged MAC, with a forged IP address.")
    honest = _frames(guide, liar.mac, own, victim.mac)
    guide.check(honest == 10, "with its own addresses, of 10 frames arrive", honest)
    forged_mac = _frames(guide, "02:66:6f:72:67:65", own, victim.mac)
    guide.check(forged_mac == 0, "with a forged MAC, of 10 frames arrive", forged_mac)
    _check_reason(guide, "--as-mac", "02:66:6f:72:67:65")
    forged_ip = _frames(guide, liar.mac, guide.address("blue3"), victim.mac)
    guide.check(forged_ip == 0, "with blue3's IP address, of 10 frames arrive", forged_ip)
    _check_reason(guide, "--as-ip", guide.address("blue3"))


def _check_reason(guide: Guide, *lie: str) -> None:
    packet = ("--to", guide.address("guarded1"), "--protocol", "udp", "--port", "5002")
    reason = guide.why("hv1", "blue1", *packet, *lie)
    guide.check("Dropped in antispoof" in reason, "`suimon why` names the stage", reason)


def _frames(guide: Guide, source_mac: str, source_ip: str, target_mac: str) -> int:
    """How many of 10 hand-made frames from blue1 reach guarded1."""
    with guide.measure.probe("guarded1", "receive", "5002", "--patience", "1.5", "--idle", "0.5") as receiver:
        receiver.ready()
        says = ("--source-mac", source_mac, "--source-ip", source_ip, "--target-mac", target_mac)
        with guide.measure.probe("blue1", "forge", guide.address("guarded1"), "5002", *says) as forger:
            forger.result()
        return int(receiver.result()["received"])


def allow(guide: Guide, protocol: str, port: int) -> Json:
    """A rule of `guarded` that lets `protocol` in to `port`."""
    rule = ["security", "group", "rule", "create", "--ingress", "--protocol", protocol, "--dst-port", str(port)]
    return guide.cloud.create(*rule, "guarded")


def _is_ssh(rule: Json) -> bool:
    return (rule["IP Protocol"], rule["Port Range"]) == ("tcp", "22:22")
