"""A lab whose loop is closed: it exports, collects, detects and acts; with guests, and an outside of many servers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network
from typing import Any

from suimon.lab.guests import Guest
from suimon.lab.lab import Lab
from suimon.lab.measure import Measure, Probe
from suimon.lab.openstack import OpenStack
from tests.system import later
from tests.system.clouds import eventually, guest, inside_network, outside_network

SERVERS, SERVER = IPv4Network("198.18.0.0/24"), "198.18.0.9"
PATIENCE_S = 60
Json = dict[str, Any]


class Scene:
    """A hypervisor with its guests, whoever they need outside, and the operator's view of it."""

    def __init__(self, lab: Lab, rules: str) -> None:
        self.lab, self.measure = lab, Measure(lab)
        self._cloud = OpenStack(lab.layout)
        self.network, _ = inside_network(lab, outside_network(lab))
        lab.add_internet_servers(SERVERS)
        self.put(rules)
        self.good = self.guest("good")

    def put(self, rules: str) -> None:
        """Rules whose names are new begin with a dry run."""
        for mode in ("dry_run", "act"):
            self.ask("rulebook", "PUT", {"text": rules.replace("MODE", mode), "why": "a test"})

    def guest(self, name: str) -> Guest:
        made = guest(self.lab, self.network.id, name, "hv1")
        # The way out is there once the hosts have all of it.
        eventually(lambda: self.seen(made, 80) == "refused", PATIENCE_S)
        return made

    def restart(self, ahead_s: int) -> None:
        """Controller and agent are killed, and come back when it is that much later than here."""
        cloud, (host,) = self.lab.cloud, self.lab.layout.hosts
        cloud.kill_controller()
        cloud.kill_agent(host)
        cloud.program = [sys.executable, later.__file__, str(ahead_s)]
        cloud.start_controller()
        cloud.start_agent(host)
        cloud.await_agent(host)
        # The token of before may be over.
        self._cloud = OpenStack(self.lab.layout)

    def ask(self, path: str, method: str = "GET", body: Json | None = None) -> Json:
        return self._cloud.ask(f"/operations/v1/{path}", method, body)

    def seen(self, of: Guest, port: int) -> str:
        return self.measure.connection(of.name, SERVER, port)

    def acted(self, of: Guest) -> list[Json]:
        """Incidents that it was restricted by, the newest first."""
        found = self.ask(f"incidents?subject_id={of.port_id}")["incidents"]
        return [one for one in found if one["restriction_id"]]

    def await_act(self, of: Guest, rule: str, so: Callable[[Json], bool] = lambda _one: True) -> Json:
        found: list[Json] = []

        def asked() -> bool:
            found[:] = [one for one in self.acted(of) if one["rule"] == rule and so(one)]
            return bool(found)

        eventually(asked, PATIENCE_S)
        return found[0]

    def active(self, of: Guest) -> list[Json]:
        found = self.ask("restrictions?state=active")["restrictions"]
        return [one for one in found if one["target"] == of.port_id]

    def release(self) -> None:
        self.ask("restrictions/release", "POST", {"why": "a test"})

    @contextmanager
    def spamming(self, of: Guest) -> Iterator[Probe]:
        paced = ("--per-second", "50", "--seconds", "120", "--patience", "2")
        with self.measure.probe(of.name, "sessions", str(SERVERS), "25", *paced) as probe:
            yield probe

    @contextmanager
    def running(self, of: Guest, program: str) -> Iterator[None]:
        """A Python program of the guest's, which is told the address of a server."""
        inside = ["ip", "netns", "exec", of.namespace, sys.executable, "-I", "-c", program, SERVER]
        with subprocess.Popen(inside) as child:
            try:
                yield
            finally:
                child.kill()

    @contextmanager
    def serving(self) -> Iterator[None]:
        with self.measure.probe("internet", "serve", "25", "587") as probe:
            probe.ready()
            yield
