"""A hypervisor of a lab in a machine of its own: run there, makes it of the lab's parts, and does as it is told.

    python -m tests.kernel.inside CONFIG NAME

Its network cards are the hypervisor's legs, in the order of `LEGS`. A call comes through the virtio port `PORT` as a
line of JSON, `[method, arguments…]`, and so does its answer, `[result, complaint]`. It ends when who calls goes away.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import msgspec

from suimon.lab.births import Birth
from suimon.lab.error import LabError
from suimon.lab.lab import Lab
from suimon.lab.layout import LabConfig
from suimon.lab.measure import Measure
from tests.patience import patient
from tests.system.namespaces import inside

PORT = "calls"
LEGS = {"mgmt": "eth-mgmt", "tun": "eth-tun", "pub": "eth-public"}
"""The fabric's bridge that each is on, and what it is called."""
GOODBYE = b"goodbye"


class Hypervisor:
    """One of several of a lab; the others and the controller are elsewhere."""

    def __init__(self, config: LabConfig, name: str) -> None:
        self._lab = Lab(config, print)
        self._host = self._lab.layout.host(name)
        self._switch = self._lab.switch(name)

    def start(self, token: str) -> None:
        """All of it, until its agent follows the controller."""
        layout, host = self._lab.layout, self._host
        layout.directory.mkdir(parents=True)
        subprocess.run(["ip", "netns", "attach", layout.fabric, "1"], check=True)
        legs = enumerate(LEGS.values())
        cables = [f"link set eth{number} netns {host.namespace} name {leg}" for number, leg in legs]
        self._lab.wires.add_hypervisor(host, cables)
        self._lab.start_switch(host)
        self._lab.cloud.join(host, token)
        self.start_agent()

    def start_agent(self) -> None:
        self._lab.cloud.start_agent(self._host)
        self._lab.cloud.await_agent(self._host, timeout_s=patient(30))

    def kill_agent(self) -> None:
        self._lab.cloud.kill_agent(self._host)

    def restart_switch(self) -> None:
        """kill -9, and as soon as it is gone another."""
        self._lab.kill_vswitchd(self._host)
        self._switch.start_vswitchd()

    def vswitchd(self) -> int:
        return self._switch.vswitchd().pid

    def aborts(self) -> list[str]:
        return self._switch.aborts()

    def datapaths(self) -> str:
        return self._switch.appctl("dpctl/dump-dps")

    def tunnelled(self) -> list[str]:
        """The datapath's own flows that take something out of a tunnel."""
        return re.findall(r".*tunnel\(tun_id=.*", self._switch.appctl("dpctl/dump-flows", "-m"))

    def flows(self) -> dict[str, Birth]:
        """Of br-int, and when each was put in, by this machine's clock."""
        return self._switch.flows("br-int")

    def add_guest(self, name: str, port_id: str, mac: str) -> str:
        """The address that it is given."""
        guests = self._lab.guests
        return guests.lease(guests.add(name, self._host.name, port_id, mac), tries=30).lease["ip"].partition("/")[0]

    def pings(self, guest: str, address: str) -> int:
        """How many of five are answered."""
        return 5 - Measure(self._lab).ping(guest, address)[0]

    def connection(self, guest: str, address: str, l4_port: int) -> str:
        return Measure(self._lab).connection(guest, address, l4_port)

    def echo(self, guest: str, l4_port: int) -> None:
        """From now on the guest says what it hears; after `GOODBYE` it hangs up."""
        listener = inside(self._lab.namespace(guest), lambda: socket.create_server(("", l4_port)))
        threading.Thread(target=_answer, args=(listener,), daemon=True).start()


def _answer(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_echo, args=(connection,), daemon=True).start()


def _echo(connection: socket.socket) -> None:
    with connection:
        while heard := connection.recv(65536):
            connection.sendall(heard)
            if heard.endswith(GOODBYE):
                return


def _called(hypervisor: Hypervisor, line: bytes) -> bytes:
    method, *arguments = msgspec.json.decode(line)
    try:
        answer = (getattr(hypervisor, method)(*arguments), "")
    except (LabError, OSError, subprocess.SubprocessError) as error:
        answer = (None, f"{method}: {error}")
    return msgspec.json.encode(answer) + b"\n"


def main() -> None:
    config, name = sys.argv[1:]
    hypervisor = Hypervisor(msgspec.json.decode(config, type=LabConfig), name)
    names = Path("/sys/class/virtio-ports").glob("*/name")
    (place,) = (each.parent.name for each in names if each.read_text().strip() == PORT)
    # Opened once, because it can't be twice.
    with Path("/dev", place).open("r+b", buffering=0) as port, open(port.fileno(), "rb", closefd=False) as calls:
        for line in calls:
            port.write(_called(hypervisor, line))


if __name__ == "__main__":
    main()
