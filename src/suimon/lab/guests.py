"""Guests: namespaces that stand for virtual machines, plugged into a hypervisor's br-int by `external_ids:iface-id`."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from suimon.lab import processes
from suimon.lab.error import LabError
from suimon.lab.layout import Layout
from suimon.lab.openvswitch import OpenVSwitch
from suimon.lab.underlay import Underlay

_SCRIPT = Path(__file__).with_name("udhcpc.script")


class Guest(msgspec.Struct, frozen=True):
    """`device` is the guest's interface as its hypervisor sees it; `lease` is what DHCP gave it, by name."""

    name: str
    host: str
    port_id: str
    mac: str
    namespace: str
    movable: bool = False
    lease: dict[str, str] = {}

    @property
    def device(self) -> str:
        return f"tap{self.port_id[:11]}"


class Guests:
    """Adds guests to a lab and finds them again. `switch` gives the Open vSwitch of a hypervisor by its name."""

    def __init__(self, layout: Layout, wires: Underlay, switch: Callable[[str], OpenVSwitch]) -> None:
        self._layout = layout
        self._wires = wires
        self._switch = switch
        self._directory = layout.directory / "guests"

    def add(self, name: str, host: str, port_id: str, mac: str, *, movable: bool = False) -> Guest:
        """A guest whose interface has the port's MAC, plugged and up, without an address yet (see `lease`). A movable
        one can live on another hypervisor later, and its packets pass one bridge more.
        """
        self._check(name, port_id, mac)
        on = self._layout.host(host)
        wire = self._wires.add_movable_guest if movable else self._wires.add_guest
        guest = Guest(name, host, port_id, mac, self._layout.guest_namespace(name), movable)
        (self._directory / name).mkdir(parents=True)
        (self._directory / name / "guest.json").write_bytes(msgspec.json.encode(guest))
        try:
            wire(on, guest.device, guest.namespace, mac)
            self.plug(guest)
        except LabError:
            self.remove(name)
            raise
        return guest

    def plug(self, guest: Guest) -> None:
        """Into br-int, with the port's id, in one OVSDB transaction."""
        marks = [f"external_ids:iface-id={guest.port_id}", f'external_ids:attached-mac="{guest.mac}"']
        self._switch(guest.host).vsctl(
            "add-port", "br-int", guest.device, "--", "set", "interface", guest.device, *marks
        )

    def unplug(self, guest: Guest) -> None:
        self._switch(guest.host).vsctl("--if-exists", "del-port", "br-int", guest.device)

    def expect(self, guest: Guest, host: str) -> None:
        """Plug a cable of a movable guest into a hypervisor that it may go to, as Nova does before it comes."""
        self._wires.add_cable(self._layout.host(host), guest.device, guest.namespace, guest.mac)
        self.plug(msgspec.structs.replace(guest, host=host))

    def move(self, guest: Guest, host: str) -> Guest:
        """From now on it runs on a hypervisor that expects it, and says so by a gratuitous ARP."""
        self._wires.plug_cable(guest.namespace, self._layout.host(host), self._layout.host(guest.host))
        announcement = ["busybox", "arping", "-A", "-c", "1", "-w", "1", "-I", "eth0"]
        self.run(guest, [*announcement, guest.lease["ip"].partition("/")[0]])
        moved = msgspec.structs.replace(guest, host=host)
        (self._directory / guest.name / "guest.json").write_bytes(
            msgspec.json.encode(msgspec.structs.replace(moved, lease={}))
        )
        return moved

    def forget(self, guest: Guest, host: str) -> None:
        """Take away the cable to a hypervisor that it left."""
        self.unplug(msgspec.structs.replace(guest, host=host))
        self._wires.remove_cable(guest.namespace, self._layout.host(host))

    def request_lease(self, guest: Guest, *, tries: int = 10) -> subprocess.Popen[bytes]:
        """Start udhcpc: it asks once a second and ends well with a lease (a child stays to renew it), badly without."""
        state = self._directory / guest.name
        env = {**processes.environment(self._layout.directory), "LEASE": str(state / "lease")}
        client = ["udhcpc", "-i", "eth0", "-p", str(state / "udhcpc.pid"), "-s", str(_script(state))]
        # Options asked for: MTU (26) and classless static routes (121); -n: give up after -t tries of -T seconds.
        options = ["-O", "mtu", "-O", "staticroutes", "-x", f"hostname:{guest.name}", "-t", str(tries), "-T", "1", "-n"]
        return processes.start(
            ["ip", "netns", "exec", guest.namespace, *client, *options], log=state / "udhcpc.log", env=env
        )

    def lease(self, guest: Guest, *, tries: int = 10) -> Guest:
        """Get an address by DHCP and set it up; LabError if nobody offers one."""
        client = self.request_lease(guest, tries=tries)
        try:
            ended = client.wait(timeout=tries * 2 + 10)
        except subprocess.TimeoutExpired:
            client.kill()
            ended = client.wait()
        if ended:
            raise LabError(f"Guest {guest.name} got no DHCP lease after {tries} tries.")
        return self.get(guest.name)

    def get(self, name: str) -> Guest:
        state = self._directory / name
        try:
            guest = msgspec.json.decode((state / "guest.json").read_bytes(), type=Guest)
        except FileNotFoundError:
            names = ", ".join(known.name for known in self.all()) or "none"
            raise LabError(f"There is no guest {name!r} in the lab; there is: {names}.") from None
        if (state / "lease").exists():
            lines = (state / "lease").read_text().splitlines()
            return msgspec.structs.replace(guest, lease=dict(line.split("=", 1) for line in lines))
        return guest

    def all(self) -> list[Guest]:
        return [self.get(path.parent.name) for path in sorted(self._directory.glob("*/guest.json"))]

    def remove(self, name: str) -> None:
        """Unplug it, end its processes, forget it."""
        guest = self.get(name)
        self.unplug(guest)
        processes.end(processes.living_in([guest.namespace]), patience_s=0.5)
        self._wires.remove([guest.namespace])
        shutil.rmtree(self._directory / name)

    def run(self, guest: Guest, args: Sequence[str], *, timeout_s: float = 30) -> str:
        """What a command inside the guest prints; LabError if it ends badly."""
        return processes.run(self.inside(guest, args), timeout_s=timeout_s)

    def inside(self, guest: Guest, args: Sequence[str]) -> list[str]:
        return ["ip", "netns", "exec", guest.namespace, *args]

    def _check(self, name: str, port_id: str, mac: str) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,31}", name):
            raise LabError(
                f"Guest name {name!r} must be 1 to 32 lower-case letters, digits and dashes, beginning with a letter."
            )
        if not re.fullmatch(r"[0-9a-f-]{36}", port_id):
            raise LabError(f"{port_id!r} is not the id of a port (36 characters of a UUID).")
        if not re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", mac):
            raise LabError(f"{mac!r} is not a MAC address like fa:16:3e:00:00:01.")
        for guest in self.all():
            if guest.name == name or guest.port_id == port_id:
                raise LabError(f"Guest {guest.name} on {guest.host} is already there with port {guest.port_id}.")


def _script(state: Path) -> Path:
    """udhcpc's script, where it can be executed whatever the mode that an installer gave ours."""
    script = state / "udhcpc.script"
    shutil.copyfile(_SCRIPT, script)
    script.chmod(0o755)
    return script
