"""A collector as `suimon collector` runs it: records get their port, detectors see them, files keep them.

Only the controller is missing: who asks for ports is told of the benchmark's, and what was found is handed to `told`.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import exports

from suimon.detection.engine import Fault, Tally
from suimon.detection.records import Records
from suimon.detection.thresholds import Thresholds
from suimon.model.collectors import MapAnswer, MappedPort, MapRequest, Question
from suimon.model.compiled import MISSING
from suimon.model.findings import Finding
from suimon.telemetry.collecting import Collecting
from suimon.telemetry.collecting import Config as CollectingConfig
from suimon.telemetry.flow.collector import Collector
from suimon.telemetry.flow.exporters import Allowed, Exporters
from suimon.telemetry.flow.receiver import Config as ReceiverConfig
from suimon.telemetry.flow.receiver import Receiver
from suimon.telemetry.history.questions import answered
from suimon.telemetry.history.segments import Config, Segments
from suimon.telemetry.memory import keep_freed


class Cloud:
    """What a collector knows of the controller (`collecting.PortMap`): so many ports, each at one of the exporters."""

    def __init__(self, ports: int, exporters: int, told: Callable[[Finding], None]) -> None:
        self._ports = tuple(mapped(number, exporters) for number in range(ports))
        self._told = told

    async def ports(self, asked: MapRequest) -> MapAnswer:
        if asked.store:
            await asyncio.Event().wait()
        return MapAnswer("bench", 1, 1, True, self._ports)

    async def findings(self, found: Sequence[Finding]) -> None:
        for each in found:
            self._told(each)


class Watching(Records):
    """As a collector has its detectors, those of records alone."""

    @property
    def tallies(self) -> Mapping[str, Tally]:
        return self.engine.tallies

    @property
    def faults(self) -> Mapping[str, Fault]:
        return self.engine.faults


def mapped(number: int, exporters: int) -> MappedPort:
    """The port `number`, as `exports.traffic` has it: its exporter, and its interface there."""
    exporter, interface = number % exporters, exports.FIRST_INTERFACE + number // exporters
    mac = f"fa:16:3e:00:{number >> 8:02x}:{number & 0xFF:02x}"
    place = (f"network-{number % 300}", f"host-{exporter}", f"127.0.0.{10 + exporter}", interface, mac, ())
    return MappedPort(f"{number:08x}-5eed-4000-8000-0123456789ab", f"{number % 200:032x}", *place)


def warn_of_numpy() -> None:
    """Where C was not compiled since it was changed, figures are those of numpy."""
    if MISSING:
        print(f"not compiled: {', '.join(sorted(MISSING))}; run .ci/bootstrap", file=sys.stderr)


async def collect(port: int, folder: Path, cloud: Cloud) -> dict[str, object]:
    """Until it is told to end; then what it counted, and the CPU that it took until all was kept."""
    keep_freed()
    segments = Segments(Config(folder / "records"), time.time)
    decoder = Collector(Exporters([Allowed("127.0.0.0/8")]))
    collecting = Collecting(CollectingConfig((Allowed("127.0.0.0/8"),)), decoder, segments, cloud)
    watching = Watching(Thresholds(), seed=1)
    collecting.detection = watching
    receiver = Receiver(ReceiverConfig((("127.0.0.1", port),)), collecting.take, time.time)
    segments.open()
    running = asyncio.create_task(collecting.run(receiver))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    await asyncio.gather(running, return_exceptions=True)
    used_s = time.process_time()
    segments.open()
    total = answered(segments, Question(by="direction"), 60.0).total
    said = {"records": collecting.kept, "packets": total.packets, "bytes": total.bytes, "cpu_s": used_s}
    return said | {"unwatched": watching.skipped, "dropped": receiver.lost}


def main() -> None:
    port, folder, ports, exporters = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])

    def told(found: Finding) -> None:
        said = {"port": found.subject.id, "detector": found.detector, "role": found.role, "ended": found.ended}
        print(json.dumps({"at": time.time(), **said, "numbers": found.numbers}), flush=True)

    print(json.dumps(asyncio.run(collect(port, folder, Cloud(ports, exporters, told)))), flush=True)


if __name__ == "__main__":
    main()
