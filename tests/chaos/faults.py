"""What is done to the cloud: who is killed, what is cut, for how long, and which packets that may cost."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable

from suimon.cli.database import FILE_NAME
from suimon.lab.lab import Lab
from suimon.lab.layout import Host
from tests.chaos.streams import Gap

_SETTLE_S = 0.05
"""What was on its way when a gap began or ended."""


class Faults:
    """`gaps` and `counts` are what happened so far. A fault is over when it returns, but for what follows by itself."""

    def __init__(self, lab: Lab, chance: random.Random) -> None:
        self.gaps: list[Gap] = []
        self.counts: Counter[str] = Counter()
        self.switch_restarts: dict[str, float] = {}
        """By host, when its flows were back for the last time."""
        self._lab, self._chance = lab, chance
        self._kinds: dict[str, tuple[int, Callable[[Host], None]]] = {
            "agent killed": (5, self._kill_agent),
            "agent restarted": (3, self._restart_agent),
            "controller killed": (3, self._kill_controller),
            "store locked": (2, self._lock_store),
            "management cut": (4, self._cut_management),
            "tunnels cut": (2, self._cut_tunnels),
            "vswitchd killed": (2, self._kill_vswitchd),
        }

    def one(self) -> str:
        """One fault, chosen by chance."""
        name = self._chance.choices([*self._kinds], [weight for weight, _ in self._kinds.values()])[0]
        return self.do(name, self._chance.choice(self._lab.layout.hosts))

    def do(self, name: str, host: Host) -> str:
        self._kinds[name][1](host)
        self.counts[name] += 1
        return f"{name} {host.name}"

    def _kill_agent(self, host: Host) -> None:
        self._lab.cloud.kill_agent(host)
        self._start_agent(host)

    def _restart_agent(self, host: Host) -> None:
        process = self._lab.cloud.process(host.name)
        assert process is not None
        waiting = os.pidfd_open(process.pid)
        signal.pidfd_send_signal(waiting, signal.SIGTERM)
        os.close(waiting)
        while self._lab.cloud.process(host.name):
            time.sleep(0.01)
        self._start_agent(host)

    def _start_agent(self, host: Host) -> None:
        self._lab.cloud.start_agent(host)
        self._lab.cloud.await_agent(host)

    def _kill_controller(self, _: Host) -> None:
        self._lab.cloud.kill_controller()
        time.sleep(self._chance.uniform(0, 1.5))
        self._lab.cloud.start_controller()

    def _lock_store(self, _: Host) -> None:
        """Nobody can write to the database for a while."""
        file = self._lab.layout.controller_state / FILE_NAME
        store = sqlite3.connect(file, isolation_level=None, timeout=10)
        try:
            store.execute("BEGIN IMMEDIATE")
            time.sleep(self._chance.uniform(0.5, 3))
            store.execute("ROLLBACK")
        finally:
            store.close()

    def _cut_management(self, host: Host) -> None:
        self._cut(f"mgmt-{host.name}", self._chance.uniform(0.5, 3))

    def _cut_tunnels(self, host: Host) -> None:
        begun = time.monotonic()
        self._cut(f"tun-{host.name}", self._chance.uniform(0.2, 0.8))
        self.gaps.append(
            Gap("tunnels cut", host.name, begun - _SETTLE_S, time.monotonic() + _SETTLE_S, tunnels_only=True)
        )

    def _kill_vswitchd(self, host: Host) -> None:
        """Started at once, as under supervision; the gap ends when the agent says that all flows are in again."""
        log = self._lab.cloud.log(host.name)
        seen, begun = log.stat().st_size, time.monotonic()
        self._lab.kill_vswitchd(host)
        self._lab.start_vswitchd(host)
        deadline = begun + 30
        while b"event=switch_restored" not in log.read_bytes()[seen:]:
            assert time.monotonic() < deadline, f"the flows of {host.name} did not come back"
            time.sleep(0.01)
        ended = time.monotonic() + _SETTLE_S
        self.gaps.append(Gap("vswitchd killed", host.name, begun - _SETTLE_S, ended))
        self.switch_restarts[host.name] = ended

    def _cut(self, leg: str, seconds: float) -> None:
        link = ["ip", "-n", self._lab.layout.fabric, "link", "set", leg]
        subprocess.run([*link, "down"], check=True, timeout=10)
        try:
            time.sleep(seconds)
        finally:
            subprocess.run([*link, "up"], check=True, timeout=10)
