"""What collecting flow records costs: CPU and losses at a steady rate, and whether the sums are right, beside others.

    make bench-flow ARGS="--records 2000000 --rate 400000 --only v9"

Each collector starts anew for each protocol and gets the same datagrams, from eight exporters at 127.0.0.1x, on the
same machine. Ours decodes, finds each record's cloud port and adds it up there; "suimon, all" is the collector as it is
run: records get their port, detectors see them, files keep them. What the others do is said in bench/flow_peers.py.
CPU is that of the collector's processes, by the kernel, for what comes after the first `--warm` records: collectors run
for months, and in their first seconds they ask for their memory. With 0 the start is counted, too. What else runs on
the machine makes one run differ from the next by a fifth: with `--rounds` collectors take turns, and medians are told.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import exports
import numpy as np
from flow_peers import PEERS, Figures, Peer
from flow_whole import warn_of_numpy
from numpy.typing import NDArray

EXPORTERS: Final = 8
PORTS: Final = 2000
_CLOCKS: Final = os.sysconf("SC_CLK_TCK")
_TICK_S: Final = 0.01
_PATIENCE_S: Final = 60.0


def main() -> int:
    asking = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asking.add_argument("--records", type=int, default=2_000_000, help="for each protocol (2,000,000)")
    asking.add_argument("--rate", type=int, default=400_000, help="records a second (400,000)")
    asking.add_argument("--seed", type=int, default=1)
    asking.add_argument("--only", choices=exports.PROTOCOLS, action="append")
    asking.add_argument("--warm", type=int, default=600_000, help="records before CPU is counted (600,000)")
    asking.add_argument("--rounds", type=int, default=1, help="of all collectors, one after the other (1)")
    asking.add_argument("--ours-alone", action="store_true", help="without the others")
    asking.add_argument("--collect", metavar="FILE", help=argparse.SUPPRESS)
    options = asking.parse_args()
    if options.warm >= options.records:
        asking.error("--warm has to leave some of --records")
    if options.collect:
        asyncio.run(collect(Path(options.collect)))
        return 0
    warn_of_numpy()
    wrong = 0
    names = ("CPU s/M", "ratio", "lost %", "at socket", "records/s")
    print(f"{'':8}{'collector':12}" + "".join(f"{name:>11}" for name in names) + "  packets, bytes")
    for protocol in options.only or exports.PROTOCOLS:
        flows = exports.traffic(options.seed, options.records, EXPORTERS, PORTS, time.time() + 2, options.rate)
        truth = exports.sampled(flows) if protocol == "sflow" else flows
        sent = list(exports.exported(protocol, flows))
        peers = [Ours(), Whole(), *([] if options.ours_alone else PEERS)]
        runs: dict[str, list[Run]] = {peer.name: [] for peer in peers}
        for number in range(1, options.rounds + 1):
            for peer in peers:
                runs[peer.name].append(run := run_of(peer, protocol, sent, truth, options))
                wrong += peer.name == Ours.name and (run.lost != 0 or run.said != "exact, at each port")
                if options.rounds > 1:
                    print(f"round {number}: {protocol}, {peer.name}: {run.cost:.3f} CPU s/M", file=sys.stderr)
        for name, those in runs.items():
            print(f"{protocol:8}{name:12}{line(those, runs[Ours.name])}", flush=True)
        for ours, other, goal in ((Ours.name, "nfcapd", 1.0), (Whole.name, "fastnetmon", 0.25)):
            if other in runs:
                print(f"{protocol:8}{ours} takes {cost(runs[ours]) / cost(runs[other]):.2f} of {other}'s; goal {goal}")
    return 1 if wrong else 0


class Run(NamedTuple):
    """`cost` is in CPU seconds for a million records, `lost` a share, and None when nobody knows."""

    cost: float
    lost: float | None
    drops: int
    pace: float
    said: str


def run_of(
    peer: Peer,
    protocol: str,
    sent: Sequence[exports.Sent],
    truth: NDArray[np.void],
    options: argparse.Namespace,
) -> Run:
    figures, taken_s = tried(peer, protocol, sent, options.rate, options.warm)
    records = sum(each.records for each in sent)
    taken = records if figures.records is None else figures.records
    # What it lost cost it nothing.
    cost = figures.cpu_s * 1e6 / (taken * (1 - options.warm / records) or float("nan"))
    lost = None if figures.records is None else 1 - taken / records
    return Run(cost, lost, figures.drops, records / taken_s, accuracy(figures, truth, protocol))


def cost(runs: Sequence[Run]) -> float:
    return median(each.cost for each in runs)


def line(runs: Sequence[Run], ours: Sequence[Run]) -> str:
    """Medians of what a collector costs, what it lost in all runs, and each thing that it said."""
    told = [each.lost for each in runs if each.lost is not None]
    lost = f"{100 * sum(told) / len(told):.3f}" if told else "?"
    drops, pace = sum(each.drops for each in runs), median(each.pace for each in runs)
    said = "; ".join(dict.fromkeys(each.said for each in runs))
    return f"{cost(runs):11.3f}{cost(runs) / cost(ours):11.2f}{lost:>11}{drops:11}{pace:11.0f}  {said}"


def accuracy(figures: Figures, truth: NDArray[np.void], protocol: str) -> str:
    """Of what a collector says it saw, with what was sent."""
    if figures.sums is not None:
        true = np.zeros_like(figures.sums)
        for column, name in enumerate(("packets", "bytes")):
            np.add.at(true[column], (truth["exporter"], truth["interface"] - exports.FIRST_INTERFACE), truth[name])
        return "exact, at each port" if (true == figures.sums).all() else f"{np.abs(figures.sums - true).sum():.0f} off"
    # The others count samples, whatever these stand for.
    scale = exports.SAMPLING if protocol == "sflow" and not figures.scaled else 1
    parts = []
    for said, name in ((figures.packets, "packets"), (figures.bytes, "bytes")):
        true_sum = int(truth[name].sum()) // scale
        parts.append("not told" if said is None else f"{said / true_sum - 1:+.2%}")
    return ", ".join(parts)


def tried(peer: Peer, protocol: str, sent: Sequence[exports.Sent], rate: int, warm: int = 0) -> tuple[Figures, float]:
    """Its figures, with the CPU after so many records, and the seconds that sending took."""
    before = bisect_left(list(accumulate(each.records for each in sent)), warm) + 1 if warm else 0
    with tempfile.TemporaryDirectory(prefix="suimon-bench-flow-") as folder, tempfile.TemporaryFile() as log:
        port = free_port()
        command = peer.command(protocol, port, Path(folder))
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            listening = peer.listens_on(protocol, port)
            until(lambda: udp(listening) is not None, f"{command[0]} listens", process)
            drops = udp(listening)
            taken_s = blast(sent[:before], listening, rate)
            began_cpu_s = cpu_s(process.pid)
            taken_s += blast(sent[before:], listening, rate)
            until(lambda: (udp(listening) or Udp(0, 0)).waiting == 0, f"{command[0]} has read all", process)
            peer.settle(Path(folder))
            figures = peer.figures(Path(folder))
            ended_cpu_s = cpu_s(process.pid)
            lost = (udp(listening) or Udp(0, 0)).drops - (drops or Udp(0, 0)).drops
        finally:
            for pid in [*children(process.pid), process.pid]:
                try:
                    os.kill(pid, peer.signal)
                except ProcessLookupError:
                    continue
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        log.seek(0)
        told = peer.final(figures, log.read().decode(errors="replace"), Path(folder))
        return told._replace(cpu_s=(told.cpu_s or ended_cpu_s) - began_cpu_s, drops=lost), taken_s


class Ours:
    """Receiver, decoders, the port of each record by a dense table, and its sums."""

    name = "suimon"
    signal = signal.SIGTERM

    def command(self, protocol: str, port: int, folder: Path) -> list[str]:
        return [sys.executable, __file__, "--collect", str(folder / f"{port}")]

    def listens_on(self, protocol: str, port: int) -> int:
        return port

    def settle(self, folder: Path) -> None:
        """What was read from the socket is decoded by then."""

    def figures(self, folder: Path) -> Figures:
        return Figures()

    def final(self, figures: Figures, log: str, folder: Path) -> Figures:
        try:
            said: dict[str, Any] = json.loads(log.splitlines()[-1])
        except (IndexError, ValueError):
            raise SystemExit(log) from None
        return figures._replace(records=said["records"], sums=np.load(folder / "sums.npy"))


class Whole(Ours):
    """The collector as it is run. What it writes when it ends is counted, too."""

    name = "suimon, all"

    def command(self, protocol: str, port: int, folder: Path) -> list[str]:
        program = Path(__file__).with_name("flow_whole.py")
        return [sys.executable, str(program), str(port), str(folder), str(PORTS), str(EXPORTERS)]

    def final(self, figures: Figures, log: str, folder: Path) -> Figures:
        try:
            said: dict[str, Any] = json.loads(log.splitlines()[-1])
        except (IndexError, ValueError):
            raise SystemExit(log) from None
        told = {name: said[name] for name in ("records", "packets", "bytes", "cpu_s")}
        return figures._replace(scaled=True, **told)


async def collect(place: Path) -> None:
    """Until it is told to end; then it says what it found."""
    from suimon.model.records import scaled
    from suimon.telemetry.flow.collector import Collector
    from suimon.telemetry.flow.datagrams import Datagrams
    from suimon.telemetry.flow.exporters import Allowed, Exporters
    from suimon.telemetry.flow.receiver import Config, Receiver

    interfaces = exports.FIRST_INTERFACE + PORTS
    # Its 0 is no port.
    table = np.zeros((EXPORTERS, interfaces), np.int64)
    table[:, exports.FIRST_INTERFACE :] = 1 + np.arange(EXPORTERS * PORTS).reshape(EXPORTERS, PORTS)
    collector, records = Collector(Exporters([Allowed("127.0.0.0/8")])), 0
    added = np.zeros((2, 1 + EXPORTERS * PORTS))

    def sink(datagrams: Datagrams) -> None:
        nonlocal records
        batch = collector.take(datagrams)
        records += len(batch)
        row = batch["exporter"].astype(np.int64) * interfaces
        sides = [table.take(row + np.minimum(batch[name], interfaces - 1)) for name in ("input", "output")]
        port = np.maximum(*sides)
        for column, name in enumerate(("packets", "bytes")):
            added[column] += np.bincount(port, scaled(batch, name), added.shape[1])

    receiver = Receiver(Config((("127.0.0.1", int(place.name)),)), sink, time.time)
    running = asyncio.create_task(receiver.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    await asyncio.gather(running, return_exceptions=True)
    sums = np.zeros((2, EXPORTERS, PORTS))
    numbers = [int(exporter.address) & 0xFF for exporter in collector.exporters.table]
    for row, number in enumerate(numbers):
        sums[:, number - 10] = added[:, 1:].reshape(sums.shape)[:, row]
    np.save(place.parent / "sums.npy", sums)
    print(json.dumps({"records": records}))


def blast(sent: Sequence[exports.Sent], port: int, rate: int) -> float:
    """Sends at so many records a second, each exporter from its own address."""
    sockets = []
    for number in range(EXPORTERS):
        each = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        each.bind((f"127.0.0.{10 + number}", 0))
        each.connect(("127.0.0.1", port))
        sockets.append(each)
    began, done = time.monotonic(), 0
    try:
        for datagram in sent:
            while (ahead_s := done / rate - (time.monotonic() - began)) > _TICK_S:
                select.select([], [], [], ahead_s)
            sockets[datagram.exporter].send(datagram.payload)
            done += datagram.records
    finally:
        for each in sockets:
            each.close()
    return time.monotonic() - began


class Udp(NamedTuple):
    """Bytes that wait in a socket, and datagrams for which it had no room."""

    waiting: int
    drops: int


def udp(port: int) -> Udp | None:
    for name in ("udp", "udp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            parts = line.split()
            if int(parts[1].split(":")[1], 16) == port:
                return Udp(int(parts[4].split(":")[1], 16), int(parts[-1]))
    return None


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def until(true: Any, what: str, process: subprocess.Popen[bytes]) -> None:
    """Nothing tells of a stranger's socket, so it is looked at again and again."""
    end = time.monotonic() + _PATIENCE_S
    while not true():
        if time.monotonic() > end or process.poll() is not None:
            raise SystemExit(f"waited in vain until {what}")
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for each in map(int, task.read_text().split()):
            found += [*children(each), each]
    return found


def cpu_s(pid: int) -> float:
    ticks = 0
    for each in [pid, *children(pid)]:
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _CLOCKS


if __name__ == "__main__":
    sys.exit(main())
