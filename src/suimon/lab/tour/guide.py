"""What every step of the tour has at hand: the lab, the `openstack` client, measurements, and a voice."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path

from suimon.lab import processes
from suimon.lab.error import LabError
from suimon.lab.guests import Guest
from suimon.lab.lab import Lab
from suimon.lab.measure import Measure
from suimon.lab.openstack import Json, OpenStack


class Guide:
    """Shows one lab. `before` is how every bridge was when the tour began; `checked` counts what held."""

    def __init__(self, lab: Lab, say: Callable[[str], None]) -> None:
        self.lab = lab
        self.cloud = OpenStack(lab.layout, self.command)
        self.measure = Measure(lab)
        self.checked = 0
        self.before = self.dumps()
        self._say = say

    def tell(self, text: str) -> None:
        """What is about to be done, and why."""
        self._say(f"  {text}")

    def command(self, text: str) -> None:
        """What a user would type."""
        self._say(f"    {text}")

    def check(self, held: bool, what: str, measured: object = "") -> None:
        """LabError, which ends the tour, if it does not hold."""
        shown = f"{what}: {measured}" if measured != "" else what
        if not held:
            raise LabError(f"it does not hold that {shown}")
        self.checked += 1
        self._say(f"    ok  {shown}")

    def boot(self, host: str, port: Json, *, movable: bool = False) -> Guest:
        """A guest on `host`, named like the port it is plugged with, with the address that our DHCP gave it."""
        name = str(port["name"])
        self.command(f"$ suimon lab guest add {name} --host {host} --port {name}{' --movable' * movable}")
        guest = self.lab.guests.add(name, host, str(port["id"]), str(port["mac_address"]), movable=movable)
        begun = time.monotonic()
        guest = self.lab.guests.lease(guest)
        took_ms = (time.monotonic() - begun) * 1000
        address = str(port["fixed_ips"][0]["ip_address"])
        lease = guest.lease
        said = (
            f"{lease['ip']}, MTU {lease['mtu']}, for {lease['lease_s']} s, from {lease['server']}, in {took_ms:.0f} ms"
        )
        self.check(lease["ip"].split("/")[0] == address, f"DHCP gave {name} the address of its port", said)
        return guest

    def address(self, name: str) -> str:
        """A guest's own address, as DHCP gave it."""
        return self.lab.guests.get(name).lease["ip"].split("/")[0]

    def ping(self, source: str, address: str, *, through: str) -> None:
        """Check that every one of five pings comes back."""
        lost, rtt_ms = self.measure.ping(source, address)
        self.check(lost == 0, f"{source} pings {address} {through}", f"{lost} of 5 lost, {rtt_ms} ms")

    def inside(self, guest: str, *command: str) -> str:
        """What a command that a user would run in a guest prints; LabError if it ends badly."""
        self.command(f"$ suimon lab exec {guest} -- {shlex.join(command)}")
        return self.lab.guests.run(self.lab.guests.get(guest), command)

    def suimon(self, *command: str) -> str:
        """What a command of an operator prints, asked of the controller; LabError if it ends badly."""
        state = ("--state", str(self.lab.layout.controller_state))
        self.command(f"$ suimon {shlex.join([*command, *state])}")
        program = str(Path(sys.executable).with_name("suimon"))
        return processes.run([program, *command, *state], timeout_s=90)

    def why(self, host: str, *question: str) -> str:
        """What `suimon why`, asked on a hypervisor, says became of a packet: its last line."""
        on = self.lab.layout.host(host)
        self.command(f"$ suimon lab exec {host} -- suimon why {' '.join(question)} --state {on.agent_state}")
        suimon = str(Path(sys.executable).with_name("suimon"))
        asked = [suimon, "why", *question, "--state", str(on.agent_state), "--ovs-rundir", str(on.rundir)]
        lines = processes.run(["ip", "netns", "exec", on.namespace, *asked]).splitlines()
        verdicts = [line for line in lines if not line.startswith("(")]
        return verdicts[-1] if verdicts else ""

    def await_true(self, question: Callable[[], bool], timeout_s: float = 10) -> float:
        """Seconds until it was true. For what is seen only from outside, by asking."""
        begun = time.monotonic()
        while not question():
            if time.monotonic() > begun + timeout_s:
                return float("inf")
            time.sleep(0.1)
        return time.monotonic() - begun

    def dumps(self) -> dict[str, list[str]]:
        """Every bridge of every hypervisor, counters left out."""
        found: dict[str, list[str]] = {}
        for host in self.lab.layout.hosts:
            dump = self.lab.switch(host.name).dump()
            found |= {f"{host.name} {what}": lines for what, lines in dump.items()}
        return found

    def default_group(self) -> str:
        """The id of the security group that the tour's ports have when none is named."""
        (found,) = self.cloud.show("port", "blue1")["security_group_ids"]
        return str(found)


def differences(before: dict[str, list[str]], after: dict[str, list[str]]) -> list[str]:
    """Lines that are in only one of two dumps, marked - or +."""
    found = []
    for what in sorted(before.keys() | after.keys()):
        then, now = set(before.get(what, [])), set(after.get(what, []))
        found += [f"- {what}: {line}" for line in sorted(then - now)] + [
            f"+ {what}: {line}" for line in sorted(now - then)
        ]
    return found
