"""What keeping flow records costs: bytes, CPU to write and to pack them, and how soon questions are answered.

    python bench/flow_kept.py --records 10000000

The records are of one hour and 2,000 ports; questions are asked of the hour's small files, then of the packed one, then
with its summary. Then nfcapd is sent the same flows by each protocol, and `nfdump -s srcip/bytes -n 20` is asked of its
files beside our same question; what is kept of a record differs: ours has its port and MAC addresses as well, and
of sFlow it keeps samples, all of as many packets.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import exports
import numpy as np
from flow_nfdump import TOP, Kept, kept
from flow_whole import mapped, warn_of_numpy
from numpy.typing import NDArray

from suimon.model.collectors import Question
from suimon.model.records import Batch, batch_of
from suimon.telemetry.history.engine import HOUR_S, Lot
from suimon.telemetry.history.questions import answered
from suimon.telemetry.history.segments import Config, Segments

EXPORTERS: Final = 8
PORTS: Final = 2000
_BEGAN_S: Final = 500_000 * HOUR_S
_PART: Final = 500_000
"""Records of a small file."""
_ONE: Final = mapped(3, EXPORTERS).id
_SAME: Final = f"top {TOP} sources"
_QUESTIONS: Final = {
    "top ports": Question(by="port", limit=10),
    _SAME: Question(by="source", limit=TOP),
    "top peers of a port": Question(f"port {_ONE} and direction out", by="destination", limit=10),
    "search of a port": Question(f"port {_ONE} and bytes > 100000", limit=10),
    "search of mail": Question("protocol tcp and destination_port 25", limit=10),
}


def main() -> None:
    asking = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asking.add_argument("--records", type=int, default=10_000_000, help="of the hour (10,000,000)")
    asking.add_argument("--rate", type=int, default=150_000, help="records a second to nfcapd (150,000)")
    asking.add_argument("--protocols", nargs="*", default=exports.PROTOCOLS, help="to nfcapd; none leaves it out")
    options = asking.parse_args()
    warn_of_numpy()
    ports = [mapped(number, EXPORTERS) for number in range(PORTS)]
    exporters = [f"127.0.0.{10 + number}" for number in range(EXPORTERS)]
    now_s, parts = _BEGAN_S + 1.0, max(1, options.records // _PART)
    with tempfile.TemporaryDirectory(prefix="suimon-bench-kept-") as folder:
        segments = Segments(Config(Path(folder)), lambda: now_s)
        segments.open()
        writing_s = 0.0
        for number in range(parts):
            batch = of_hour(flows_of(number, parts))
            writing_s += cpu_s(lambda batch=batch: segments.write(Lot((batch,), ports, exporters, now_s)))  # type: ignore[misc]
        ours = [told(segments, Path(folder), "written", writing_s, parts * _PART)]
        now_s += HOUR_S
        ours.append(told(segments, Path(folder), "packed", cpu_s(segments.compact), parts * _PART))
        ours.append(told(segments, Path(folder), "summed up", cpu_s(segments.sum_up), parts * _PART))
        segments.close()
    print(f"\n{'':24} B a record   of ours   {_SAME}, s   of CPU, s   of ours' CPU")
    for each in ours:
        print(line(each, ours[-1]), flush=True)
    for protocol in options.protocols:
        for each in kept(protocol, (flows_of(number, parts) for number in range(parts)), options.rate):
            print(line(each, ours[-1]), flush=True)


def flows_of(number: int, parts: int) -> NDArray[np.void]:
    """A part of an hour's."""
    since_s = _BEGAN_S + number * HOUR_S / parts
    return exports.traffic(number, _PART, EXPORTERS, PORTS, since_s, _PART * parts // HOUR_S)


def of_hour(flows: NDArray[np.void]) -> Batch:
    """Records as tagged ones are."""
    batch, out = batch_of(_PART), flows["out"]
    batch["begun"], batch["ended"] = flows["begun_ms"] / 1000, flows["ended_ms"] / 1000
    for side in ("source", "destination"):
        batch[f"{side}_low"], batch[f"{side}_port"] = flows[side], flows[f"{side}_port"]
    for name in ("exporter", "protocol", "tcp_flags", "packets", "bytes"):
        batch[name] = flows[name]
    batch["ip_version"], batch["sampling"], batch["direction"] = 4, 1, np.where(out, 1, 2)
    batch["port"] = (flows["interface"] - exports.FIRST_INTERFACE) * EXPORTERS + flows["exporter"]
    own, router = 0xFA163E000000 + batch["port"].astype(np.uint64), np.uint64(0x001122334455)
    batch["source_mac"], batch["destination_mac"] = np.where(out, own, router), np.where(out, router, own)
    batch["input"], batch["output"] = np.where(out, flows["interface"], 1), np.where(out, 1, flows["interface"])
    return batch


def told(segments: Segments, folder: Path, name: str, used_s: float, records: int) -> Kept:
    """Prints what it costs; of the question that nfdump is asked, too, it is what is returned."""
    size = sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
    print(f"{name}: {size / records:.1f} B a record, {used_s / records * 1e6:.2f} CPU s a million", flush=True)
    asked = {}
    for words, question in _QUESTIONS.items():
        took = []
        for _ in range(3):
            began_s = time.monotonic()
            used_s = cpu_s(lambda question=question: answered(segments, question, 120.0))  # type: ignore[misc]
            took.append((time.monotonic() - began_s, used_s))
        asked[words] = wall_s, used_s = sorted(took)[1]
        print(f"  {words:20} {wall_s:7.3f} s, {used_s:.3f} s of CPU", flush=True)
    return Kept(f"suimon, {name}", size, records, *asked[_SAME])


def line(one: Kept, ours: Kept) -> str:
    """Of the table, with how many times the last of ours it is."""
    size, of_ours = one.bytes / one.records, one.bytes * ours.records / (ours.bytes * one.records)
    asked = f"{one.wall_s:19.3f} {one.cpu_s:11.3f} {one.cpu_s / ours.cpu_s:14.2f}"
    return f"{one.name:24} {size:10.1f} {of_ours:9.2f} {asked}"


def cpu_s(act: Callable[[], object]) -> float:
    before = resource.getrusage(resource.RUSAGE_SELF)
    act()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
