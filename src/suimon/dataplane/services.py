"""Where guests meet the services of their host: a network namespace without a name, one veth away from br-int.

The namespace lives as long as the process that made it, and the veth goes with the namespace: nothing stays behind of
an agent that was killed. It holds nothing but the sockets that `listen` and `receive` put there; there is no route from
it to anywhere but back to the guests.
"""

from __future__ import annotations

import array
import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from suimon.dataplane.layout import SERVICES
from suimon.pipeline.services import ASKERS, ASKERS_IP6, SERVICES_IP, SERVICES_IP6, SERVICES_MAC

T = TypeVar("T")

_INSIDE: Final = "services"
"""The veth's end in the namespace."""
_ASKERS_MAC: Final = "02:5a:00:00:00:fd"
"""Of all guests, as the namespace sees them: no device has it, so no stack but br-int takes the answers."""
_ASKERS_HOP: Final = "169.254.169.253"
_ASKERS_HOP_IP6: Final = "fe80::5a"
_CLONE_NEWNET: Final = 0x40000000
_SIOCETHTOOL: Final = 0x8946
_ETHTOOL_STXCSUM: Final = 0x17
_TIMEOUT_S: Final = 10.0
_BACKLOG: Final = 128


class ServicesPlace:
    """Open from `build` to `close`. `rundir` is Open vSwitch's: the veth is made where ovs-vswitchd lives."""

    def __init__(self, rundir: Path) -> None:
        self._rundir = rundir
        self._namespace: int | None = None

    def build(self) -> None:
        """Make namespace and veth anew. Blocks for some 50 ms. Raises OSError."""
        self.close()
        self._namespace = there = _in_namespace(None, _new_namespace)
        with ExitStack() as opened:
            switch = _namespace_of(self._rundir / "ovs-vswitchd.pid")
            opened.callback(os.close, switch)
            _in_namespace(switch, lambda: _wire(f"/proc/{os.getpid()}/fd/{there}"))
            _in_namespace(there, _furnish)

    def listen(self, l4_port: int) -> list[socket.socket]:
        """TCP sockets that listen there, by IPv4 and IPv6."""
        made = self._sockets(socket.SOCK_STREAM, l4_port)
        for each in made:
            each.listen(_BACKLOG)
        return made

    def receive(self, l4_port: int) -> list[socket.socket]:
        """UDP sockets there, by IPv4 and IPv6."""
        return self._sockets(socket.SOCK_DGRAM, l4_port)

    def close(self) -> None:
        """Give up the namespace: it ends, and the veth with it, when its last socket is closed."""
        if self._namespace is not None:
            os.close(self._namespace)
            self._namespace = None

    def _sockets(self, kind: socket.SocketKind, l4_port: int) -> list[socket.socket]:
        namespace = self._namespace
        assert namespace is not None, "not built"
        made = []
        for family, address in ((socket.AF_INET, SERVICES_IP), (socket.AF_INET6, SERVICES_IP6)):
            one = _in_namespace(namespace, partial(socket.socket, family, kind))
            made.append(one)
            one.setblocking(False)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind((address, l4_port))
        return made


def _in_namespace(namespace: int | None, work: Callable[[], T]) -> T:
    """What `work` returns or raises in a thread that has gone there alone, and ends with it."""
    results: list[T] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            if namespace is not None:
                _call("setns", namespace, _CLONE_NEWNET)
            results.append(work())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="services")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _call(name: str, *arguments: int) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _new_namespace() -> int:
    _call("unshare", _CLONE_NEWNET)
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _namespace_of(pidfile: Path) -> int:
    """Where ovs-vswitchd sees its devices: our own namespace, unless it is known to live in another."""
    try:
        return os.open(f"/proc/{int(pidfile.read_text())}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError):
        return os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _wire(namespace: str) -> None:
    if SERVICES in (name for _, name in socket.if_nameindex()):
        _ip(f"link del {SERVICES}")
    _ip(
        f"link add {SERVICES} type veth peer name {_INSIDE} address {SERVICES_MAC} netns {namespace}",
        f"link set {SERVICES} addrgenmode none",
        f"link set {SERVICES} up",
    )


def _furnish() -> None:
    _ip(
        "link set lo up",
        f"link set {_INSIDE} addrgenmode none",
        f"link set {_INSIDE} up",
        f"address add {SERVICES_IP}/32 dev {_INSIDE}",
        f"neighbour add {_ASKERS_HOP} lladdr {_ASKERS_MAC} dev {_INSIDE} nud permanent",
        f"route add {ASKERS} via {_ASKERS_HOP} dev {_INSIDE} onlink src {SERVICES_IP}",
        f"address add {SERVICES_IP6}/128 dev {_INSIDE} nodad",
        f"neighbour add {_ASKERS_HOP_IP6} lladdr {_ASKERS_MAC} dev {_INSIDE} nud permanent",
        f"route add {ASKERS_IP6} via {_ASKERS_HOP_IP6} dev {_INSIDE} src {SERVICES_IP6}",
    )
    _compute_checksums(_INSIDE)


def _compute_checksums(device: str) -> None:
    """Before a frame leaves: in the userspace datapath nobody fills in what was left to the hardware (ethtool -K)."""
    value = array.array("B", struct.pack("=II", _ETHTOOL_STXCSUM, 0))
    address, _ = value.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCETHTOOL, struct.pack("16sP16x", device.encode(), address))


def _ip(*lines: str) -> None:
    """Commands of ip(8), in one batch."""
    told = "\n".join(lines) + "\n"
    try:
        done = subprocess.run(
            ("ip", "-batch", "-"),  # noqa: S607  (where it is differs from one distribution to the next)
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
