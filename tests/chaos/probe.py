"""A stream of numbered packets between two guests: a program of its own, run inside them, standard library only.

    send HOST PORT PPS FILE      until SIGTERM; FILE gets when each packet was sent
    receive PORT FILE            until SIGTERM; FILE gets the number of each packet that came

Times are CLOCK_MONOTONIC, which all namespaces share. The files are arrays of 8-byte doubles and integers.
"""

from __future__ import annotations

import signal
import socket
import struct
import sys
import time
from array import array
from pathlib import Path

_LATE_S = 0.05
_QUESTIONS = 30
"""More than the seconds that any fault takes; a neighbour that stays silent is lost after that, as it should."""
_SO_RCVBUFFORCE = 33
"""asm-generic/socket.h; the socket module has no name for it."""


class Enough(Exception):
    """SIGTERM came."""


def send(host: str, port: int, pps: float, file: Path) -> None:
    """What the guest's kernel refuses counts as sent, and so as lost. What the sender had no time for is not sent late:
    no interface holds so many packets at once.
    """
    _keep_asking()
    times, skipped_s = array("d"), 0.0
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        begun = time.monotonic()
        try:
            while True:
                ahead_s = begun + skipped_s + len(times) / pps - time.monotonic()
                if ahead_s > 0:
                    time.sleep(ahead_s)
                elif ahead_s < -_LATE_S:
                    skipped_s -= ahead_s
                times.append(time.monotonic())
                try:
                    sock.sendto(struct.pack("!Q", len(times) - 1).ljust(64, b"\0"), (host, port))
                except OSError:
                    continue
        except Enough:
            file.write_bytes(times.tobytes())


def receive(port: int, file: Path) -> None:
    """Of either family (ipv6(7), IPV6_V6ONLY). Packets that wait when it is told to end are still read."""
    numbers = array("Q")
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 8 << 20)
        sock.bind(("", port))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        try:
            while True:
                numbers.append(struct.unpack_from("!Q", sock.recv(64))[0])
        except Enough:
            sock.setblocking(False)
        try:
            while True:
                numbers.append(struct.unpack_from("!Q", sock.recv(64))[0])
        except BlockingIOError:
            file.write_bytes(numbers.tobytes())


def _keep_asking() -> None:
    """This kernel asks neighbours once a second whether they are there still. After three questions without an answer,
    which a fault takes, it would keep packets back until it asks anew (arp(7)), and then send more at once than an
    interface holds: what is lost by that, long after the fault, is the guest's own loss.
    """
    for asked in Path("/proc/sys/net").glob("ipv[46]/neigh/*/ucast_solicit"):
        asked.write_text(str(_QUESTIONS))


def main() -> None:
    """Run what the arguments say."""

    def end(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Enough

    signal.signal(signal.SIGTERM, end)
    match sys.argv[1:]:
        case ["send", host, port, pps, file]:
            send(host, int(port), float(pps), Path(file))
        case ["receive", port, file]:
            receive(int(port), Path(file))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
