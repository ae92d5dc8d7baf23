"""What is done to the cloud: who is killed, what is cut, for how long, and which packets that may cost."""

from __future__ import annotations

import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from typing import Final

from suimon.lab import processes
from suimon.lab.lab import Lab
from suimon.lab.layout import Host
from tests.chaos.stores import File, Server
from tests.chaos.streams import Gap

VSWITCHD_KILLED: Final = "vswitchd killed"
GATEWAY_LOST: Final = "gateway host lost"
GATEWAY_BACK: Final = "gateway host back"
STORE_KILLED: Final = "store killed"
_SETTLE_S: Final = 0.05
"""What was on its way when a gap began or ended."""
_GATEWAY_AWAY_S: Final = 3.0
GATEWAY_RETURNS_S: Final = 90.0
"""A host that was replaced serves again a minute after it is back."""
_HANDED_BACK_S: Final = 0.2
_NOBODY_AWAY: Final = "away=[] "
_TIMESTAMP: Final = re.compile(r"timestamp=(\S+)")
_SILENCE: Final = """table inet chaos {
 chain in { type filter hook input priority -300; iifname eth-mgmt drop; }
 chain out { type filter hook output priority -300; oifname eth-mgmt drop; }
}
"""


class Faults:
    """`gaps` and `counts` are what happened so far. A fault is over when it returns, but for what follows by itself.

    `store` is the controllers', `gateway` names the host that leads the router out, `only` the kinds to choose of, if
    not all of `KINDS`.
    """

    def __init__(
        self, lab: Lab, store: File | Server, chance: random.Random, gateway: str = "", only: Sequence[str] = ()
    ) -> None:
        self.gaps: list[Gap] = []
        self.counts: Counter[str] = Counter()
        self.switch_restarts: dict[str, float] = {}
        """By host, when its flows were back for the last time."""
        self._lab, self._store, self._chance, self._gateway = lab, store, chance, gateway
        # A file has no server that could die.
        self._wanted = only
        self._kinds = only or tuple(kind for kind in KINDS if kind != STORE_KILLED or isinstance(store, Server))

    def one(self, left_s: float) -> str:
        """Chosen by chance, but each kind once first; what takes long to pass only while so many seconds are left."""
        names = [name for name in self._kinds if name != GATEWAY_LOST or left_s > GATEWAY_RETURNS_S]
        if not names:
            time.sleep(left_s)
            return "nothing, until all is back"
        names = [name for name in names if name not in self.counts] or names
        name = self._chance.choices(names, [KINDS[each][0] for each in names])[0]
        return self.do(name, self._chance.choice(self._lab.layout.hosts))

    @property
    def lacking(self) -> bool:
        """Whether one that was asked for by name is still to come, but for what takes so long to pass."""
        return bool(set(self._wanted) - {*self.counts, GATEWAY_LOST})

    def note_returns(self) -> None:
        """A gateway host that was replaced leads out again, as each agent heard at its own time.

        What comes from outside goes where the router's MAC was seen last, until the one that is back says something.
        """
        ahead_s = time.time() - time.monotonic()
        for lines in self._lab.cloud.judgements().values():
            for before, line in pairwise(lines):
                told = _TIMESTAMP.search(line)
                if told and _NOBODY_AWAY in line and _NOBODY_AWAY not in before:
                    at = datetime.fromisoformat(told[1]).timestamp() - ahead_s
                    window = at - _SETTLE_S, at + _HANDED_BACK_S
                    self.gaps.append(Gap(GATEWAY_BACK, self._gateway, *window, gateways_only=True))

    def do(self, name: str, host: Host) -> str:
        if name == GATEWAY_LOST:
            host = self._lab.layout.host(self._gateway)
        KINDS[name][1](self, host)
        self.counts[name] += 1
        return f"{name} {host.name}"

    def _kill_agent(self, host: Host) -> None:
        self._lab.cloud.kill_agent(host)
        self._start_agent(host)

    def _restart_agent(self, host: Host) -> None:
        process = self._lab.cloud.process(host.name)
        assert process is not None
        processes.end([process])
        self._start_agent(host)

    def _start_agent(self, host: Host) -> None:
        self._lab.cloud.start_agent(host)
        self._lab.cloud.await_agent(host)

    def _stop_agent(self, host: Host) -> None:
        self._stop(host.name)

    def _stop_controller(self, _: Host) -> None:
        self._stop(self._a_controller())

    def _stop(self, name: str) -> None:
        """It doesn't die, but it doesn't move either."""
        process = self._lab.cloud.process(name)
        assert process is not None
        processes.tell(process, signal.SIGSTOP)
        try:
            time.sleep(self._chance.uniform(0.5, 3))
        finally:
            processes.tell(process, signal.SIGCONT)

    def _kill_controller(self, _: Host) -> None:
        name = self._a_controller()
        self._lab.cloud.kill_controller(name)
        time.sleep(self._chance.uniform(0, 1.5))
        self._lab.cloud.start_controller(name)

    def _a_controller(self) -> str:
        return self._chance.choice(list(self._lab.cloud.controllers))

    def _kill_store(self, _: Host) -> None:
        assert isinstance(self._store, Server), "only a server can be killed"
        with self._store.killed():
            time.sleep(self._chance.uniform(0, 2))

    def _lock_store(self, _: Host) -> None:
        """Nobody can write to the database for a while."""
        with self._store.locked():
            time.sleep(self._chance.uniform(0.5, 3))

    def _cut_management(self, host: Host) -> None:
        """No packet passes, and nobody is told."""
        inside = ["ip", "netns", "exec", host.namespace, "nft"]
        processes.run([*inside, "-f", "-"], stdin=_SILENCE)
        try:
            time.sleep(self._chance.uniform(0.5, 3))
        finally:
            processes.run([*inside, "delete", "table", "inet", "chaos"])

    def _cut_tunnels(self, host: Host) -> None:
        link = ["ip", "-n", self._lab.layout.fabric, "link", "set", f"tun-{host.name}"]
        with self._gap("tunnels cut", host, tunnels_only=True):
            processes.run([*link, "down"])
            try:
                time.sleep(self._chance.uniform(0.2, 0.8))
            finally:
                processes.run([*link, "up"])

    def _kill_vswitchd(self, host: Host) -> None:
        """Started at once, as under supervision; the gap ends when the agent says that all flows are in again."""
        with self._gap(VSWITCHD_KILLED, host), self._restored(host):
            self._lab.kill_vswitchd(host)
            self._lab.start_vswitchd(host)

    def _lose_gateway(self, host: Host) -> None:
        """Agent and switch are gone for so long that another host takes over."""
        with self._gap(GATEWAY_LOST, host):
            self._lab.cloud.kill_agent(host)
            self._lab.kill_vswitchd(host)
            time.sleep(_GATEWAY_AWAY_S)
            self._lab.start_vswitchd(host)
            self._start_agent(host)
        self.switch_restarts[host.name] = time.monotonic()

    @contextmanager
    def _gap(self, fault: str, host: Host, *, tunnels_only: bool = False) -> Iterator[None]:
        begun = time.monotonic() - _SETTLE_S
        yield
        self.gaps.append(Gap(fault, host.name, begun, time.monotonic() + _SETTLE_S, tunnels_only))

    @contextmanager
    def _restored(self, host: Host) -> Iterator[None]:
        log = self._lab.cloud.log(host.name)
        seen = log.stat().st_size
        yield
        deadline = time.monotonic() + 30
        while b"event=switch_restored" not in log.read_bytes()[seen:]:
            assert time.monotonic() < deadline, f"the flows of {host.name} did not come back"
            time.sleep(0.01)
        self.switch_restarts[host.name] = time.monotonic()


KINDS: Final[Mapping[str, tuple[int, Callable[[Faults, Host], None]]]] = {
    "agent killed": (5, Faults._kill_agent),
    "agent restarted": (3, Faults._restart_agent),
    "agent stopped": (3, Faults._stop_agent),
    "controller killed": (3, Faults._kill_controller),
    "controller stopped": (1, Faults._stop_controller),
    "store locked": (2, Faults._lock_store),
    STORE_KILLED: (3, Faults._kill_store),
    "management cut": (4, Faults._cut_management),
    "tunnels cut": (2, Faults._cut_tunnels),
    VSWITCHD_KILLED: (2, Faults._kill_vswitchd),
    GATEWAY_LOST: (1, Faults._lose_gateway),
}
"""How often each is chosen, as a weight, and what does it."""
