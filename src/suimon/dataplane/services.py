"""Where guests meet the services of their host: a network namespace, one veth away from br-int.

Both outlive the agent, and the next one adopts them: each device that comes or goes has a userspace datapath read the
host's routes anew, and packets for tunnels are lost meanwhile. The namespace holds nothing but the sockets that
`listen` and `receive` put there; there is no route from it to anywhere but back to the guests.
"""

from __future__ import annotations

import array
import fcntl
import json
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from suimon.dataplane import kept
from suimon.dataplane.inside import in_namespace
from suimon.dataplane.layout import SERVICES
from suimon.pipeline.services import ASKERS, ASKERS_IP6, SERVICES_IP, SERVICES_IP6, SERVICES_MAC

NAMESPACE: Final = "services"
"""What the namespace is called, behind the prefix that the agent was told."""
_NAMESPACES: Final = Path("/run/netns")
_INSIDE: Final = "services"
"""The veth's end in the namespace."""
_MARK: Final = "suimon-services-1"
"""Alias of the veth's other end; the number grows when devices of before must not be adopted."""
_ASKERS_MAC: Final = "02:5a:00:00:00:fd"
"""Of all guests, as the namespace sees them: no device has it, so no stack but br-int takes the answers."""
_ASKERS_HOP: Final = "169.254.169.253"
_ASKERS_HOP_IP6: Final = "fe80::5a"
_SIOCETHTOOL: Final = 0x8946
_ETHTOOL_STXCSUM: Final = 0x17
_TIMEOUT_S: Final = 10.0
_BACKLOG: Final = 128


class ServicesPlace:
    """Open after `build`. `rundir` is Open vSwitch's: the veth is made where ovs-vswitchd lives."""

    def __init__(self, rundir: Path, namespace: str) -> None:
        self._rundir = rundir
        self._file = _NAMESPACES / namespace
        self._has: list[kept.Thing] = []
        """When it was furnished last."""

    def build(self) -> bool:
        """Adopt namespace and veth, or make them; blocks for some 50 ms. Raises OSError.

        True for a veth that the switch has yet to take up, which `note_taken_up` is to be told of.
        """
        self._name_namespace()
        with self._opened() as (switch, there):
            wired = _is_whole(switch, there)
            if not wired:
                in_namespace(switch, lambda: _wire(f"/proc/{os.getpid()}/fd/{there}"))
            self._has = in_namespace(there, _furnish)
        return not wired

    def is_whole(self) -> bool:
        """Whether all of it is there, and the veth known to the switch."""
        if not _is_mounted(self._file):
            return False
        with self._opened() as (switch, there):
            return _is_whole(switch, there)

    def put_right(self) -> bool:
        """Furnish a whole place anew if it isn't as it was left; whether that was so. Sockets stay. Raises OSError."""
        with self._opened() as (_, there):
            if in_namespace(there, kept.routing) == self._has:
                return False
            self._has = in_namespace(there, _furnish)
            return True

    def note_taken_up(self) -> None:
        """A veth without this mark is made anew: an agent that died may have left it to a switch that holds another."""
        with self._opened() as (switch, _):
            in_namespace(switch, lambda: _ip(f"link set {SERVICES} alias {_MARK}"))

    def listen(self, l4_port: int) -> list[socket.socket]:
        """TCP sockets that listen there, by IPv4 and IPv6."""
        made = self._sockets(socket.SOCK_STREAM, l4_port)
        for each in made:
            each.listen(_BACKLOG)
        return made

    def receive(self, l4_port: int) -> list[socket.socket]:
        """UDP sockets there, by IPv4 and IPv6."""
        return self._sockets(socket.SOCK_DGRAM, l4_port)

    def _sockets(self, kind: socket.SocketKind, l4_port: int) -> list[socket.socket]:
        made = []
        with self._opened() as (_, there):
            for family, address in ((socket.AF_INET, SERVICES_IP), (socket.AF_INET6, SERVICES_IP6)):
                one = in_namespace(there, partial(socket.socket, family, kind))
                made.append(one)
                one.setblocking(False)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                one.bind((address, l4_port))
        return made

    def _name_namespace(self) -> None:
        if not _is_mounted(self._file):
            if self._file.exists():  # ip(8) was killed between making the file and the mount.
                self._file.unlink()
            _ip(f"netns add {self._file.name}")

    @contextmanager
    def _opened(self) -> Iterator[tuple[int, int]]:
        """The namespaces of the switch and of the services."""
        with ExitStack() as opened:
            switch = _namespace_of(self._rundir / "ovs-vswitchd.pid")
            opened.callback(os.close, switch)
            there = os.open(self._file, os.O_RDONLY | os.O_CLOEXEC)
            opened.callback(os.close, there)
            yield switch, there


def _is_mounted(file: Path) -> bool:
    """Whether a namespace is mounted there, and not only the file for one."""
    return file.exists() and file.stat().st_dev != file.parent.stat().st_dev


def _is_whole(switch: int, there: int) -> bool:
    outside, inside = in_namespace(switch, lambda: _link(SERVICES)), in_namespace(there, lambda: _link(_INSIDE))
    return outside.get("ifalias") == _MARK and bool(inside)


def _link(name: str) -> dict[str, object]:
    """A device of this thread's namespace as ip(8) tells it; empty if there is none."""
    if name not in (each for _, each in socket.if_nameindex()):
        return {}
    links: list[dict[str, object]] = json.loads(_ip(f"link show dev {name}"))
    return links[0]


def _namespace_of(pidfile: Path) -> int:
    """Where ovs-vswitchd sees its devices: our own namespace, unless it is known to live in another."""
    try:
        return os.open(f"/proc/{int(pidfile.read_text())}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError):
        return os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _wire(namespace: str) -> None:
    if _link(SERVICES):
        _ip(f"link del {SERVICES}")
    _ip(
        f"link add {SERVICES} type veth peer name {_INSIDE} address {SERVICES_MAC} netns {namespace}",
        f"link set {SERVICES} addrgenmode none",
        f"link set {SERVICES} up",
    )


def _furnish() -> list[kept.Thing]:
    """What is there afterwards."""
    _ip(
        "link set lo up",
        f"link set {_INSIDE} addrgenmode none",
        f"link set {_INSIDE} up",
        f"address replace {SERVICES_IP}/32 dev {_INSIDE}",
        f"neighbour replace {_ASKERS_HOP} lladdr {_ASKERS_MAC} dev {_INSIDE} nud permanent",
        f"route replace {ASKERS} via {_ASKERS_HOP} dev {_INSIDE} onlink src {SERVICES_IP}",
        f"address replace {SERVICES_IP6}/128 dev {_INSIDE} nodad",
        f"neighbour replace {_ASKERS_HOP_IP6} lladdr {_ASKERS_MAC} dev {_INSIDE} nud permanent",
        f"route replace {ASKERS_IP6} via {_ASKERS_HOP_IP6} dev {_INSIDE} src {SERVICES_IP6}",
    )
    _compute_checksums(_INSIDE)
    return kept.routing()


def _compute_checksums(device: str) -> None:
    """Before a frame leaves: in the userspace datapath nobody fills in what was left to the hardware (ethtool -K)."""
    value = array.array("B", struct.pack("=II", _ETHTOOL_STXCSUM, 0))
    address, _ = value.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCETHTOOL, struct.pack("16sP16x", device.encode(), address))


def _ip(*lines: str) -> str:
    """Commands of ip(8), in one batch; what it says, as JSON. Raises OSError."""
    told = "\n".join(lines) + "\n"
    try:
        done = subprocess.run(
            ("ip", "-json", "-batch", "-"),  # noqa: S607  (where it is differs from one distribution to the next)
            input=told,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"ip(8) did not end in {_TIMEOUT_S:.0f} s") from error
    if done.returncode:
        raise OSError(f"ip(8): {done.stderr.strip()}")
    return done.stdout
