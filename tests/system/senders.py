"""Guests of one host, of whom two begin sessions again and again, and a third that has the addresses of all servers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from tests.patience import patient
from tests.system.live import LiveCloud
from tests.system.namespaces import inside
from tests.system.openvswitch import OpenVSwitch

MAC = "02:00:00:00:00:"
GUESTS = {"spammer": "10.0.0.11", "busy": "10.0.0.12", "server": "10.0.0.13"}
WORLD = f"""
host h1
network blue vxlan 100
subnet blue4 blue 10.0.0.0/24 gateway=10.0.0.1
group open egress:any ingress:any
port spammer h1 blue {MAC}01 {GUESTS["spammer"]} groups=open
port busy h1 blue {MAC}02 {GUESTS["busy"]} groups=open
port server h1 blue {MAC}03 {GUESTS["server"]} groups=open pairs={MAC}03@10.0.0.128/25
"""
SERVERS = [f"10.0.0.{number}" for number in range(130, 194)]
A_SECOND = 50
_BEGUN = 10
"""Times that it was done: by then it goes on."""


@contextmanager
def senders(switch: OpenVSwitch, folder: Path, *l4_ports: int) -> Iterator[LiveCloud]:
    """The servers listen at these ports; `folder` is for what is written meanwhile."""
    live = LiveCloud(switch, WORLD)
    batch = folder / "addresses"
    batch.write_text("".join(f"address add {each}/24 dev eth0\n" for each in SERVERS))
    live.run("server", "ip", "-batch", str(batch))
    live.run("server", "sysctl", "-qw", "net.core.somaxconn=8192")
    with ExitStack() as opened:
        for l4_port in l4_ports:
            # Nobody takes the sessions up; its kernel answers all the same.
            opened.enter_context(live.socket("server", socket.SOCK_STREAM, l4_port)).listen(8192)
        yield live


@contextmanager
def going_on(live: LiveCloud, guest: str, act: Callable[[int], None]) -> Iterator[None]:
    """Again and again meanwhile, in the guest, from the first few times on."""
    over, begun = threading.Event(), threading.Event()

    def repeat() -> None:
        for number in count():
            act(number)
            if number == _BEGUN:
                begun.set()
            if over.wait(1 / A_SECOND):
                return

    thread = threading.Thread(target=lambda: inside(live.namespace(guest), repeat))
    thread.start()
    try:
        assert begun.wait(patient(20))
        yield
    finally:
        over.set()
        thread.join()


def session(l4_port: int, servers: Sequence[str]) -> Callable[[int], None]:
    """With one server after the other."""

    def act(number: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as near:
            near.settimeout(patient(5))
            near.connect((servers[number % len(servers)], l4_port))

    return act
