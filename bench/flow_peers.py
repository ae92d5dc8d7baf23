"""Debian's flow collectors, each set up to do the least that its figures need.

nfcapd and sfcapd (nfdump) write records to files and add up nothing. nfacctd and sfacctd (pmacct) keep sums by exporter
and interface in memory. FastNetMon watches speeds of 65,536 addresses, with its bans off.
"""

from __future__ import annotations

import csv
import re
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

_SETTLED_S: Final = 3.0
_BUFFER_BYTES: Final = 4 << 20


class Figures(NamedTuple):
    """What a collector says that it saw; None where it doesn't say. `scaled`: sFlow's samples count as what they
    stand for. `cpu_s` is of all its life, 0 where it doesn't say. `sums` are packets and bytes by exporter and
    interface."""

    cpu_s: float = 0.0
    drops: int = 0
    records: int | None = None
    packets: int | None = None
    bytes: int | None = None
    scaled: bool = False
    sums: NDArray[np.float64] | None = None


class Peer(Protocol):
    """One collector; it is started anew for each protocol."""

    name: str
    signal: signal.Signals

    def command(self, protocol: str, port: int, folder: Path) -> list[str]: ...

    def listens_on(self, protocol: str, port: int) -> int: ...

    def settle(self, folder: Path) -> None:
        """Returns when what was read from the socket is counted."""

    def figures(self, folder: Path) -> Figures:
        """While it runs."""

    def final(self, figures: Figures, log: str, folder: Path) -> Figures:
        """After it ended."""


class Nfdump:
    name = "nfcapd"
    signal = signal.SIGTERM

    def command(self, protocol: str, port: int, folder: Path) -> list[str]:
        program = "sfcapd" if protocol == "sflow" else "nfcapd"
        (folder / "out").mkdir()
        options = [
            "-w",
            str(folder / "out"),
            "-p",
            str(port),
            "-b",
            "127.0.0.1",
            "-B",
            str(_BUFFER_BYTES),
            "-t",
            "3600",
        ]
        return [program, *options]

    def listens_on(self, protocol: str, port: int) -> int:
        return port

    def settle(self, folder: Path) -> None:
        """It decodes as it reads."""

    def figures(self, folder: Path) -> Figures:
        return Figures()

    def final(self, figures: Figures, log: str, folder: Path) -> Figures:
        told = re.findall(r"Flows: (\d+), Packets: (\d+), Bytes: (\d+)", log)
        if not told:
            return figures
        flows, packets, octets = (sum(int(each[column]) for each in told) for column in range(3))
        return figures._replace(records=flows, packets=packets, bytes=octets, scaled=True)


class Pmacct:
    name = "nfacctd"
    signal = signal.SIGINT

    def command(self, protocol: str, port: int, folder: Path) -> list[str]:
        program = "sfacctd" if protocol == "sflow" else "nfacctd"
        settings = {
            **{f"{program}_ip": "127.0.0.1", f"{program}_port": port, f"{program}_pipe_size": _BUFFER_BYTES},
            **{"daemonize": "false", "plugins": "memory[sums]", "aggregate[sums]": "peer_src_ip, in_iface, out_iface"},
            **{"imt_path[sums]": folder / "pipe", "imt_buckets[sums]": 65537, "imt_mem_pools_number[sums]": 0},
            **{"plugin_pipe_size": 256 << 20, "plugin_buffer_size": 64 << 10},
        }
        (folder / "settings").write_text("".join(f"{name}: {value}\n" for name, value in settings.items()))
        return [program, "-f", str(folder / "settings")]

    def listens_on(self, protocol: str, port: int) -> int:
        return port

    def settle(self, folder: Path) -> None:
        """Its plugin empties a pipe of its own, of which nothing tells how full it is."""
        before = -1
        while (now := self.figures(folder).packets) != before:
            before = now if now is not None else -1
            time.sleep(_SETTLED_S)

    def figures(self, folder: Path) -> Figures:
        asking = ["pmacct", "-s", "-p", str(folder / "pipe"), "-O", "csv"]
        told = subprocess.run(asking, capture_output=True, text=True, check=False, timeout=60).stdout
        rows = [row for row in csv.DictReader(told.splitlines()) if (row.get("PACKETS") or "").isdigit()]
        return Figures(packets=sum(int(row["PACKETS"]) for row in rows), bytes=sum(int(row["BYTES"]) for row in rows))

    def final(self, figures: Figures, log: str, folder: Path) -> Figures:
        return figures


class FastNetMon:
    name = "fastnetmon"
    signal = signal.SIGTERM

    def __init__(self) -> None:
        self._metrics_port = 0

    def command(self, protocol: str, port: int, folder: Path) -> list[str]:
        self._metrics_port = port + 1
        (folder / "networks").write_text("10.64.0.0/16\n")
        (folder / "allowed").touch()
        settings = {
            **{
                "logging_level": "info",
                "disable_usage_report": "on",
                "enable_ban": "off",
                "netflow": "on",
                "sflow": "on",
            },
            **{"process_incoming_traffic": "on", "process_outgoing_traffic": "on", "enable_connection_tracking": "on"},
            **{"netflow_port": port, "netflow_host": "127.0.0.1", "sflow_port": port + 2, "sflow_host": "127.0.0.1"},
            **{"networks_list_path": folder / "networks", "white_list_path": folder / "allowed", "enable_api": "off"},
            **{"prometheus": "on", "prometheus_port": port + 1, "prometheus_host": "127.0.0.1"},
            **{"pid_path": folder / "pid", "monitor_local_ip_addresses": "off", "notify_script_path": "/bin/true"},
            **{"cli_stats_file_path": folder / "stats", "cli_stats_ipv6_file_path": folder / "stats6"},
        }
        (folder / "settings").write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
        options = ["--configuration_file", str(folder / "settings"), "--log_file", str(folder / "log")]
        return ["fastnetmon", *options, "--disable_pid_logic"]

    def listens_on(self, protocol: str, port: int) -> int:
        return port + 2 if protocol == "sflow" else port

    def settle(self, folder: Path) -> None:
        """Its metrics follow each second."""
        time.sleep(_SETTLED_S)

    def figures(self, folder: Path) -> Figures:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._metrics_port}/metrics", timeout=20) as answer:
            told = answer.read().decode()
        found = re.search(r"^\w*total_simple_packets_processed(?:\{[^}]*\})? (\S+)$", told, re.MULTILINE)
        return Figures(records=int(float(found[1])) if found else None)

    def final(self, figures: Figures, log: str, folder: Path) -> Figures:
        return figures


PEERS: Final[tuple[Peer, ...]] = (Nfdump(), Pmacct(), FastNetMon())
