"""Traffic between guests: a program of its own that runs inside their namespaces, with the standard library only.

Every command prints one line of JSON when it ends, and those that last `ready` first: as soon as they can receive, and
be told that it is enough. Times are CLOCK_MONOTONIC in seconds, which all namespaces share, so that one guest's can be
compared with another's.

    receive PORT                     numbered UDP packets, until none came for a while, a short one once it is enough
    send HOST PORT                   numbered UDP packets at a steady rate
    accept PORT                      one TCP connection, its bytes checked
    stream HOST PORT                 a TCP connection, as fast as it goes or at a steady rate
    duplex PORT [--peer HOST]        UDP both ways: with a peer it begins, without one it answers the first it hears
    connect HOST PORT                whether a TCP connection opens: open, refused or silent
    serve PORT...                    whoever connects: a greeting, and an answer when all was said
    sessions NETWORK PORT            so many short TCP sessions a second, to the network's addresses in turn
    forge HOST PORT                  hand-made UDP frames with a source MAC and address that may be another's
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import struct
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from ipaddress import ip_network
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # To load it takes longer than all else here: the commands that need it do so themselves.
    import asyncio

_SO_RCVBUFFORCE = 33
"""asm-generic/socket.h; the socket module has no name for it."""
_RECEIVE_BUFFER = 8 << 20
_TCP_TOTAL_RETRANS = 100
"""Offset of tcpi_total_retrans in struct tcp_info (linux/tcp.h)."""
_PATTERN = bytes(range(256)) * 256
"""What a stream repeats: any byte's place in it says what it must be."""
_LOOK_S = 0.1
"""How often a receiver looks whether it was told that it is enough."""
_ON_THE_WAY_S = 1.0
"""A packet that is on its way for so long after the one before it is lost."""
_WARM_UP_S = 1.0
"""What a rate leaves out at its beginning: a burst that the limit allows is not the rate."""


def receive(args: argparse.Namespace) -> dict[str, Any]:
    """Ends `idle` seconds after the last packet (`patience` before the first). SIGTERM says that nobody sends any more:
    then, what is on its way still counts.
    """
    enough = _enough()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        sock.bind(("", args.port))
        sock.settimeout(_LOOK_S)
        _ready()
        numbers: list[int] = []
        times: list[float] = []
        size, silent_since = 0, time.monotonic()
        while True:
            try:
                data = sock.recv(65535)
            except TimeoutError:
                silent_s = args.idle if times else args.patience
                if time.monotonic() - silent_since >= (min(silent_s, _ON_THE_WAY_S) if enough.is_set() else silent_s):
                    break
                continue
            silent_since = time.monotonic()
            times.append(silent_since)
            numbers.append(struct.unpack_from("!Q", data)[0])
            size = len(data)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    steady = [when for when in times if when > times[0] + _WARM_UP_S]
    span_s = steady[-1] - steady[0] if len(steady) > 1 else 0.0
    rate_pps = (len(steady) - 1) / span_s if span_s else 0.0
    missing = sorted(set(range(max(numbers, default=-1) + 1)) - set(numbers))
    return {
        "received": len(set(numbers)),
        "missing": missing[:20],
        "longest_gap_ms": round(max(gaps, default=0) * 1000, 1),
        # 28 bytes of IPv4 and UDP header belong to what a limit counts.
        "rate_kbps": round(rate_pps * (size + 28) * 8 / 1000, 1),
        "rate_pps": round(rate_pps, 1),
        "last_at": times[-1] if times else None,
    }


def send(args: argparse.Namespace) -> dict[str, Any]:
    """`pps` packets a second for `seconds` or until SIGTERM; what the kernel refuses counts as sent, and so as lost."""
    refused = 0
    sent = 0
    enough = _enough()
    _ready()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        begun = time.monotonic()
        while (now := time.monotonic()) < begun + args.seconds and not enough.is_set():
            if (ahead_s := begun + sent / args.pps - now) > 0:
                time.sleep(ahead_s)
            try:
                sock.sendto(struct.pack("!Q", sent).ljust(args.size, b"\0"), (args.host, args.port))
            except OSError:
                refused += 1
            sent += 1
    return {"sent": sent, "refused": refused, "seconds": round(time.monotonic() - begun, 3)}


def accept(args: argparse.Namespace) -> dict[str, Any]:
    """Ends when the connection does, or `idle` seconds after the last byte; `peer` is the address that it came from."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("", args.port))
        listener.listen()
        listener.settimeout(args.patience)
        _ready()
        try:
            connection, (peer, _) = listener.accept()
        except TimeoutError:
            return {"bytes": 0, "intact": False, "ended": "never connected", "last_at": None}
    with connection:
        connection.settimeout(args.idle)
        return {"peer": peer, **_read_stream(connection)}


def stream(args: argparse.Namespace) -> dict[str, Any]:
    """The pattern, at `kbps` or as fast as the peer takes it, for `seconds` or until SIGTERM."""
    sent = 0
    enough = _enough()
    _ready()
    with socket.create_connection((args.host, args.port), timeout=args.patience) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begun = time.monotonic()
        failure = ""
        try:
            while (now := time.monotonic()) < begun + args.seconds and not enough.is_set():
                if args.kbps and (ahead_s := begun + sent * 8 / args.kbps / 1000 - now) > 0:
                    time.sleep(ahead_s)
                chunk = 1000 if args.kbps else 16384
                start = sent % 256
                sent += sock.send(_PATTERN[start : start + chunk])
        except OSError as error:
            failure = str(error)
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        (retransmitted,) = struct.unpack_from("=I", info, _TCP_TOTAL_RETRANS)
        return {"bytes": sent, "retransmitted": retransmitted, "failure": failure}


def duplex(args: argparse.Namespace) -> dict[str, Any]:
    """100 packets a second to the other side for `seconds` or until SIGTERM, counting what comes back and when the last
    came.
    """
    enough = _enough()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((args.bind, args.port))
        sock.settimeout(args.patience)
        _ready()
        received = 0
        peer = (args.peer, args.port)
        if args.peer is None:
            try:
                peer = sock.recvfrom(64)[1]
            except TimeoutError:
                return {"received": 0, "last_at": None}
            received = 1
        last_at = time.monotonic() if received else None
        sock.settimeout(0.2)
        sender = threading.Thread(target=_beat, args=(sock, peer, args.seconds, enough))
        sender.start()
        while sender.is_alive():
            try:
                sock.recv(64)
            except OSError:
                continue
            received += 1
            last_at = time.monotonic()
        sender.join()
    return {"received": received, "last_at": last_at}


def connect(args: argparse.Namespace) -> dict[str, Any]:
    with socket.socket() as sock:
        sock.settimeout(args.patience)
        try:
            sock.connect((args.host, args.port))
        except ConnectionRefusedError:
            return {"connection": "refused"}
        except OSError:
            return {"connection": "silent"}
        return {"connection": "open"}


def serve(args: argparse.Namespace) -> dict[str, Any]:
    """As a mail server does, at any address of its machine, until SIGTERM. `served` is by port."""
    import asyncio

    served: Counter[int] = Counter()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"QUIT\r\n")
            served[writer.get_extra_info("sockname")[1]] += 1
            writer.write(b"221 done\r\n")
        writer.close()

    async def run() -> None:
        for port in args.ports:
            await asyncio.start_server(greet, "0.0.0.0", port, backlog=1024)  # noqa: S104 (in a namespace of its own)
        stopped = _stopped()
        _ready()
        await stopped.wait()

    asyncio.run(run())
    return {"served": served}


def sessions(args: argparse.Namespace) -> dict[str, Any]:
    """For `seconds` or until SIGTERM. `first_at` is when the first was begun, `last_at` when the last whole one ended;
    `failed` are those that were refused, or not over after `patience`.
    """
    import asyncio

    servers = [str(each) for each in ip_network(args.host).hosts()]
    done: list[float] = []
    failed = begun = 0

    async def session(server: str) -> None:
        nonlocal failed
        try:
            async with asyncio.timeout(args.patience):
                reader, writer = await asyncio.open_connection(server, args.port)
                await reader.readline()
                writer.write(b"a line of a letter to somebody\r\n" * 64 + b"QUIT\r\n")
                await reader.readline()
                writer.close()
                await writer.wait_closed()
        except OSError:
            failed += 1
        else:
            done.append(time.monotonic())

    async def run() -> float:
        nonlocal begun
        enough, begun_at = _stopped(), time.monotonic()
        _ready()
        async with asyncio.TaskGroup() as tasks:
            while time.monotonic() < begun_at + args.seconds and not enough.is_set():
                tasks.create_task(session(servers[begun % len(servers)]))
                begun += 1
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(begun_at + begun / args.per_second):
                        await enough.wait()
        return begun_at

    first_at = asyncio.run(run())
    return {
        "begun": begun,
        "done": len(done),
        "failed": failed,
        "first_at": first_at,
        "last_at": max(done, default=None),
    }


def forge(args: argparse.Namespace) -> dict[str, Any]:
    """`count` frames straight out of `device`, past the guest's own IP stack."""
    source, target = _mac(args.source_mac), _mac(args.target_mac)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((args.device, 0))
        for number in range(args.count):
            payload = struct.pack("!Q", number)
            sock.send(target + source + b"\x08\x00" + _udp_packet(args.source_ip, args.host, args.port, payload))
    return {"sent": args.count}


def main() -> None:
    """Run the command that the arguments name."""
    parser = argparse.ArgumentParser(prog="traffic")
    commands = parser.add_subparsers(required=True)
    for command, names in _COMMANDS.items():
        sub = commands.add_parser(command.__name__)
        sub.set_defaults(command=command)
        for name in names:
            sub.add_argument(name, **_ARGUMENTS[name])
    args = parser.parse_args()
    sys.stdout.write(json.dumps(args.command(args)) + "\n")


_ARGUMENTS: dict[str, dict[str, Any]] = {
    "host": {},
    "port": {"type": int},
    "ports": {"type": int, "nargs": "+"},
    "--per-second": {"type": float, "default": 50.0},
    "--seconds": {"type": float, "default": 5.0},
    "--idle": {"type": float, "default": 2.0},
    "--patience": {"type": float, "default": 15.0},
    "--pps": {"type": float, "default": 1000.0},
    "--size": {"type": int, "default": 64},
    "--kbps": {"type": float, "default": 0.0},
    "--peer": {},
    "--bind": {"default": ""},
    "--device": {"default": "eth0"},
    "--source-mac": {"required": True},
    "--target-mac": {"required": True},
    "--source-ip": {"required": True},
    "--count": {"type": int, "default": 10},
}

_COMMANDS = {
    receive: ("port", "--idle", "--patience"),
    send: ("host", "port", "--seconds", "--pps", "--size"),
    accept: ("port", "--idle", "--patience"),
    stream: ("host", "port", "--seconds", "--kbps", "--patience"),
    duplex: ("port", "--peer", "--bind", "--seconds", "--patience"),
    connect: ("host", "port", "--patience"),
    serve: ("ports",),
    sessions: ("host", "port", "--per-second", "--seconds", "--patience"),
    forge: ("host", "port", "--device", "--source-mac", "--target-mac", "--source-ip", "--count"),
}


def _read_stream(connection: socket.socket) -> dict[str, Any]:
    total, steady, packets, intact, ended = 0, 0, 0, True, "closed"
    begun = last_at = time.monotonic()
    longest_gap_s = 0.0
    while True:
        try:
            data = connection.recv(65536)
        except TimeoutError:
            ended = "silent"
            break
        except OSError as error:
            ended = str(error)
            break
        if not data:
            break
        start = total % 256
        intact = intact and data == (_PATTERN + _PATTERN)[start : start + len(data)]
        now = time.monotonic()
        longest_gap_s = max(longest_gap_s, now - last_at)
        last_at = now
        total += len(data)
        if now > begun + _WARM_UP_S:
            packets = packets or _packets_received()
            steady += len(data)
    span_s = last_at - begun - _WARM_UP_S
    came = _packets_received() - packets
    return {
        "bytes": total,
        "intact": intact,
        "ended": ended,
        "longest_gap_ms": round(longest_gap_s * 1000, 1),
        "rate_kbps": round(steady * 8 / span_s / 1000, 1) if span_s > 0 else 0.0,
        "rate_pps": round(came / span_s, 1) if span_s > 0 and packets else 0.0,
        "last_at": last_at,
    }


def _packets_received() -> int:
    """By all devices here but the loopback (proc_net(5), /proc/net/dev)."""
    counters = (line.partition(":") for line in Path("/proc/net/dev").read_text().splitlines()[2:])
    return sum(int(numbers.split()[1]) for name, _, numbers in counters if name.strip() != "lo")


def _beat(sock: socket.socket, peer: tuple[str, int], seconds: float, enough: threading.Event) -> None:
    begun = time.monotonic()
    number = 0
    while time.monotonic() < begun + seconds and not enough.is_set():
        # An ICMP error for an earlier packet is reported here; the next one is tried all the same.
        with suppress(OSError):
            sock.sendto(struct.pack("!Q", number), peer)
        number += 1
        time.sleep(max(0.0, begun + number / 100 - time.monotonic()))


def _udp_packet(source: str, target: str, port: int, payload: bytes) -> bytes:
    """An IPv4 packet with UDP inside; its UDP checksum is 0: not computed (RFC 768)."""
    udp = struct.pack("!HHHH", 40000, port, 8 + len(payload), 0) + payload
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, socket.IPPROTO_UDP, 0)
    header += socket.inet_aton(source) + socket.inet_aton(target)
    return header[:10] + struct.pack("!H", _checksum(header)) + header[12:] + udp


def _checksum(header: bytes) -> int:
    """RFC 1071."""
    total: int = sum(struct.unpack(f"!{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _enough() -> threading.Event:
    """Set by SIGTERM."""
    event = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: event.set())
    return event


def _stopped() -> asyncio.Event:
    """The same, in an event loop."""
    import asyncio

    event = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, event.set)
    return event


def _ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
