"""What nfdump keeps of flow records and how soon it answers, of what nfcapd (sfcapd) was sent over UDP."""

from __future__ import annotations

import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import exports
import numpy as np
from flow import Udp, blast, free_port, udp, until
from flow_peers import Nfdump
from numpy.typing import NDArray

COMPRESSIONS: Final = {"": "0", ", LZ4": "3", ", BZ2": "2"}
"""By what is said of it, `nfdump -J`'s number."""
TOP: Final = 20
_LONG_S: Final = 10.0
"""What takes longer is asked once, all else three times, of which the middle counts."""
_PATIENCE_S: Final = 600.0


class Kept(NamedTuple):
    """`bytes` of all `records`; `wall_s` and `cpu_s` of the question who sent most bytes."""

    name: str
    bytes: int
    records: int
    wall_s: float
    cpu_s: float


def kept(protocol: str, parts: Iterable[NDArray[np.void]], rate: int) -> Iterator[Kept]:
    """As it was collected, then as it is compressed. Raises SystemExit when it lost anything."""
    with tempfile.TemporaryDirectory(prefix="suimon-bench-nfdump-") as folder:
        with _collecting(protocol, Path(folder)) as (port, log):
            sent = sum(_send(protocol, part, port, rate) for part in parts)
        told = Nfdump().final(Nfdump().figures(Path(folder)), log.read_text(errors="replace"), Path(folder)).records
        if told != sent:
            raise SystemExit(f"nfcapd kept {told} of {sent} records of {protocol}: send fewer a second (--rate)")
        for words, number in COMPRESSIONS.items():
            out = Path(shutil.copytree(Path(folder) / "out", Path(folder) / f"out{number}"))
            for each in out.iterdir():
                _run("nfdump", "-J", number, "-r", str(each))
            size = sum(each.stat().st_size for each in out.iterdir())
            took = [_asked(out)]
            if took[0][0] < _LONG_S:
                took = sorted([*took, _asked(out), _asked(out)])
            wall_s, cpu_s = took[len(took) // 2]
            yield Kept(f"nfcapd, {protocol}{words}", size, sent, wall_s, cpu_s)


@contextmanager
def _collecting(protocol: str, folder: Path) -> Iterator[tuple[int, Path]]:
    """Its port and its log; behind it, it has ended and written all."""
    peer, port, log = Nfdump(), free_port(), folder / "log"
    with log.open("wb") as told:
        process = subprocess.Popen(peer.command(protocol, port, folder), stdout=told, stderr=told)
        try:
            until(lambda: udp(port) is not None, "nfcapd listens", process)
            yield port, log
            until(lambda: (udp(port) or Udp(0, 0)).waiting == 0, "nfcapd has read all", process)
        finally:
            process.terminate()
            process.wait(_PATIENCE_S)


def _send(protocol: str, flows: NDArray[np.void], port: int, rate: int) -> int:
    sent = list(exports.exported(protocol, flows))
    blast(sent, port, rate)
    return sum(each.records for each in sent)


def _asked(out: Path) -> tuple[float, float]:
    """Seconds, and of CPU."""
    began_s, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    _run("nfdump", "-R", str(out), "-s", "srcip/bytes", "-n", str(TOP))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - began_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=_PATIENCE_S)
