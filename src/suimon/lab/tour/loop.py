"""Step 7: a guest sends spam, another uses more than it may: both are found, dealt with, and let go, by themselves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from ipaddress import IPv4Network
from typing import Final

from suimon.lab.layout import PUBLIC_GATEWAY
from suimon.lab.measure import Json, Probe
from suimon.lab.tour.guide import Guide

_SERVERS: Final = IPv4Network("198.18.0.0/24")
"""Of the benchmarking range (RFC 2544): routed nowhere but to the lab's internet host, which is all of them."""
_MAIL, _SUBMISSION, _WEB = 25, 587, 80
_LIMIT_MBPS: Final = 2.0
_PATIENCE_S: Final = 60.0
_LEAST_MBPS: Final = 10.0
_MOST_S: Final = 15.0
"""From the first packet of spam to the last session that gets through, on a busy machine."""
_STORY: Final = {
    "found and decided": "decision",
    "its last session ended": "last",
    "verified": "verification",
}
"""By what an incident's timeline calls it."""
_RULES: Final = """\
limits: {verify_after_s: 6}
rules:
  - name: spam
    detector: mass_mail
    for: {everyone: true}
    do: {kind: port_block, protocol: tcp, port_min: 25, port_max: 25, lasts_h: 1}
    mode: MODE
usage:
  - name: heavy
    more_than_gb: 0.003
    within_h: 1
    for: {tags: ['operator:metered']}
    do: {kind: rate_limit, rate_kbps: 2000, direction: both, lasts_h: 0.004}
    mode: MODE
"""


def show(guide: Guide) -> None:
    if not guide.lab.layout.config.sampling:
        guide.tell("Skipped: flow records need the extra `telemetry` (pip install 'suimon[telemetry]').")
        return
    guide.tell("Hypervisors export flow records (sFlow) to a collector, and what guests send is metered.")
    _put_rules(guide)
    guide.lab.add_internet_servers(_SERVERS)
    with _servers(guide), _neighbours(guide) as neighbours:
        _use_much(guide)
        with _spammer(guide) as spammer:
            _blocked(guide)
            _throttled(guide)
            incident = _verified(guide)
            told = spammer.enough().result()
        _tell_story(guide, incident, told)
        _released(guide)
        _check_neighbours(guide, neighbours)
    _let_go(guide)


def _put_rules(guide: Guide) -> None:
    guide.tell("A rulebook says what follows. What is new in it begins as a dry run; then it may act.")
    for mode in ("dry_run", "act"):
        file = guide.lab.layout.directory / "rulebook.yaml"
        file.write_text(_RULES.replace("MODE", mode))
        guide.suimon("rulebook", "put", str(file), "--why", f"the tour: {mode}")
    guide.cloud.run("port", "set", "--tag", "operator:metered", "blue2")


@contextmanager
def _servers(guide: Guide) -> Iterator[None]:
    ports = [str(each) for each in (_MAIL, _SUBMISSION, _WEB)]
    with guide.measure.probe("internet", "serve", *ports) as servers:
        servers.ready()
        yield


@contextmanager
def _neighbours(guide: Guide) -> Iterator[dict[str, Probe]]:
    """Two of the spammer's hypervisor who talk to the outside as others do: one that sends mail, one that surfs."""
    guide.tell("Honest neighbours on the same hypervisor send some mail (2 sessions a second) and surf (20 a second).")
    lasts = ("--seconds", "120")
    with ExitStack() as stack:
        yield {
            what: stack.enter_context(guide.measure.probe("blue3", "sessions", *how, *lasts))
            for what, how in {
                "mail": ("198.18.0.0/30", str(_MAIL), "--per-second", "2"),
                "web": (str(_SERVERS), str(_WEB), "--per-second", "20"),
            }.items()
        }


def _use_much(guide: Guide) -> None:
    guide.tell("blue2, whom a usage rule is for, sends as much as it can to the outside.")
    mbps = _upload_mbps(guide, seconds=2)
    guide.check(mbps > _LEAST_MBPS, "blue2 sends to the outside at", f"{mbps:.0f} Mbit/s")


def _spammer(guide: Guide) -> Probe:
    guide.tell("blue1 begins to send mail: 50 sessions a second, to 254 servers.")
    paced = ("--per-second", "50", "--seconds", "180", "--patience", "2")
    return guide.measure.probe("blue1", "sessions", str(_SERVERS), str(_MAIL), *paced)


def _blocked(guide: Guide) -> None:
    restricted = _await_incident(guide, "spam", lambda one: one["restriction_id"] is not None)
    guide.check(restricted["subject_id"] == _port_id(guide, "blue1"), "found, and restricted, is", "blue1")
    seen = {port: _seen(guide, "blue1", port) for port in (_MAIL, _SUBMISSION, _WEB)}
    alone = seen == {_MAIL: "silent", _SUBMISSION: "open", _WEB: "open"}
    guide.check(alone, "to blue1 tcp/25 is dead; tcp/587 and tcp/80 are", "alive")
    guide.check(_seen(guide, "blue3", _MAIL) == "open", "to its neighbour blue3 tcp/25 is", "alive")


def _verified(guide: Guide) -> Json:
    """The incident, when its effect was measured; the spammer goes on trying."""
    incident = _await_incident(guide, "spam", lambda one: one["bites"] is not None)
    guide.check(incident["bites"] is True, "measured, while blue1 goes on trying: the restriction", "bites")
    return incident


def _tell_story(guide: Guide, incident: Json, told: Json) -> None:
    """The incident as an operator sees it, and its times since the first packet, by the spammer's own clock."""
    for line in guide.suimon("incidents", incident["id"]).splitlines():
        guide.tell(f"  {line}")
    begun_s = told["first_at"] + time.time() - time.monotonic()
    timeline = guide.cloud.ask(f"/operations/v1/incidents/{incident['id']}")["incident"]["timeline"]
    after_s = {line["kind"]: datetime.fromisoformat(line["at"]).timestamp() - begun_s for line in timeline}
    after_s["last"] = told["last_at"] - told["first_at"]
    story = [f"{what} {after_s[kind]:.1f} s" for what, kind in _STORY.items() if kind in after_s]
    guide.check(len(story) == len(_STORY), "after its first packet", ", ".join(story))
    passed = f"{told['done']} of {told['begun']}"
    guide.check(after_s["last"] < _MOST_S, "sessions of blue1 that got through", passed)


def _throttled(guide: Guide) -> None:
    limited = _await_incident(guide, "heavy", lambda one: one["restriction_id"] is not None)
    guide.check(limited["subject_id"] == _port_id(guide, "blue2"), "throttled, for what the meter counted, is", "blue2")
    mbps = _upload_mbps(guide, seconds=3)
    guide.check(mbps < _LIMIT_MBPS * 1.1, f"it sends to the outside, of {_LIMIT_MBPS:g} Mbit/s", f"{mbps:.2f} Mbit/s")


def _released(guide: Guide) -> None:
    released = _await_incident(guide, "heavy", lambda one: one["state"] == "closed")
    guide.tell(f"blue2's time was over at {released['closed_at']}.")
    mbps = _upload_mbps(guide, seconds=1.5)
    guide.check(mbps > _LEAST_MBPS, "released by itself, blue2 sends at", f"{mbps:.0f} Mbit/s")


def _check_neighbours(guide: Guide, neighbours: dict[str, Probe]) -> None:
    results = {what: probe.enough().result() for what, probe in neighbours.items()}
    for what, told in results.items():
        guide.check(told["failed"] == 0 < told["done"], f"of blue3's {told['begun']} sessions ({what}) failed", 0)
    touched = {one["subject_id"] for one in _incidents(guide) if one["restriction_id"]}
    guilty = {_port_id(guide, name) for name in ("blue1", "blue2")}
    guide.check(touched == guilty, "restricted was nobody but", "blue1 and blue2")


def _let_go(guide: Guide) -> None:
    guide.tell("One command undoes all that is in force.")
    guide.suimon("release", "--all", "--since", "10m", "--why", "the tour goes on")
    with _servers(guide):
        took_s = guide.await_true(lambda: _seen(guide, "blue1", _MAIL) == "open")
    guide.check(took_s < 10, "tcp/25 is open to blue1 again")
    file = guide.lab.layout.directory / "rulebook.yaml"
    file.write_text("rules: []\n")
    guide.suimon("rulebook", "put", str(file), "--why", "the tour goes on")


def _await_incident(guide: Guide, rule: str, so: Callable[[Json], bool]) -> Json:
    """The rule's incident in which it acts, once it is so; LabError if that doesn't come."""
    found: list[Json] = []

    def asked() -> bool:
        found[:] = [one for one in _incidents(guide) if one["rule"] == rule and one["mode"] == "act" and so(one)]
        return bool(found)

    took_s = guide.await_true(asked, timeout_s=_PATIENCE_S)
    guide.check(took_s < _PATIENCE_S, f"incident of rule {rule}, after", f"{took_s:.1f} s")
    return found[0]


def _incidents(guide: Guide) -> list[Json]:
    return list(guide.cloud.ask("/operations/v1/incidents")["incidents"])


def _port_id(guide: Guide, name: str) -> str:
    return guide.lab.guests.get(name).port_id


def _seen(guide: Guide, guest: str, port: int) -> str:
    return guide.measure.connection(guest, str(_SERVERS[9]), port)


def _upload_mbps(guide: Guide, *, seconds: float) -> float:
    return float(guide.measure.tcp("blue2", "internet", PUBLIC_GATEWAY, seconds=seconds)["rate_kbps"]) / 1000
