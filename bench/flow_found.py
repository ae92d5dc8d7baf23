"""How soon attacks are found, live, and who is accused besides: ours and FastNetMon get the same NetFlow v9 at once.

    python bench/flow_found.py --active-s 10

The traffic is that of tests/detection: attacks of the goals among innocent guests, each record sent when it is over.
Seconds count from an attack's first packet. FastNetMon bans by address, at its default thresholds, and names no kind.
"""

from __future__ import annotations

import argparse
import json
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import exports
import numpy as np
from flow import free_port, udp, until
from flow_peers import FastNetMon
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.detection import attacks, test_attacks, traffic

_SHOWN: Final = ("spam", "udp_flood_out", "syn_flood_out", "syn_flood_in", "port_scan", "reflected_dns")
_SLICE_S: Final = 0.1
_STARTS_S: Final = 6.0
"""FastNetMon listens before it looks."""
_BAN: Final = {"enable_ban": "on", "ban_for_pps": "on", "threshold_pps": 20000, "average_calculation_time": 5}


class Banning(FastNetMon):
    """It writes a line for each ban: when, whom."""

    def command(self, protocol: str, port: int, folder: Path) -> list[str]:
        command = super().command(protocol, port, folder)
        notify, settings = folder / "notify", folder / "settings"
        notify.write_text(f'#!/bin/sh\necho "$(date +%s.%N) $1 $4" >>{folder}/bans\ncat >/dev/null\n')
        notify.chmod(0o755)
        (folder / "networks").write_text("10.0.0.0/16\n")
        kept = [
            line
            for line in settings.read_text().splitlines()
            if line.split(" = ")[0] not in (*_BAN, "notify_script_path")
        ]
        changed = {**_BAN, "notify_script_path": notify, "ban_details_records_count": 0}
        settings.write_text("\n".join([*kept, *(f"{name} = {value}" for name, value in changed.items()), ""]))
        return command


def main() -> int:
    asking = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asking.add_argument("--active-s", type=float, default=1.0, help="exporters tell of what lasts so often (1)")
    asking.add_argument("--ours-alone", action="store_true", help="without FastNetMon")
    options = asking.parse_args()
    flows = exported(options.active_s)
    with tempfile.TemporaryDirectory(prefix="suimon-bench-found-") as folder:
        own, other = Path(folder) / "own", Path(folder) / "other"
        own.mkdir()
        other.mkdir()
        whole = Path(__file__).with_name("flow_whole.py")
        guests = str(int(flows["interface"].max()) - exports.FIRST_INTERFACE + 1)
        ports = [free_port(), 0 if options.ours_alone else free_port() + 10]
        commands = [[sys.executable, str(whole), str(ports[0]), str(own), guests, "1"]]
        if not options.ours_alone:
            commands.append(Banning().command("v9", ports[1], other))
        began_s = run(commands, [port for port in ports if port], flows, own)
        said = [json.loads(line) for line in (own / "log").read_text().splitlines() if line.startswith("{")]
        bans = [line.split() for line in (other / "bans").read_text().splitlines()] if (other / "bans").exists() else []
    kept, used_s = said[-1]["records"], said[-1]["cpu_s"]
    print(f"{len(flows)} records in {test_attacks.UNTIL_S:.0f} s; ours kept {kept}, in {used_s:.1f} s of CPU")
    return show(began_s, said[:-1], [(float(at), address) for at, address, *_ in bans])


def exported(active_s: float) -> NDArray[np.void]:
    """The records, with times from 0 on, in the order in which they end."""
    life = traffic.Life(test_attacks.UNTIL_S, seed=3)
    made = [attacks.ATTACKS[name].make(life, test_attacks.GUESTS[name]) for name in _SHOWN]
    batch = traffic.records(test_attacks.innocents(), *made, active_s=active_s)
    flows: NDArray[np.void] = np.zeros(len(batch), exports.FLOW)
    flows["interface"], flows["out"] = exports.FIRST_INTERFACE + batch["port"], batch["direction"] == 1
    for name in ("begun", "ended"):
        flows[f"{name}_ms"] = np.rint((batch[name] - traffic.EPOCH) * 1000)
    flows["source"], flows["destination"] = batch["source_low"], batch["destination_low"]
    for name in ("source_port", "destination_port", "protocol", "tcp_flags", "packets", "bytes"):
        flows[name] = batch[name]
    return flows[np.argsort(flows["ended_ms"], kind="stable")]


def run(commands: list[list[str]], ports: list[int], flows: NDArray[np.void], own: Path) -> float:
    """Sends it all; when it began, as records have it. What the first command says is in `own`/log."""
    with (own / "log").open("wb") as log:
        started = [subprocess.Popen(commands[0], stdout=log)]
        started += [
            subprocess.Popen(each, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for each in commands[1:]
        ]
        try:
            for process, port in zip(started, ports, strict=True):
                until(lambda port=port: udp(port) is not None, f"{process.args[0]} listens", process)
            began_s = time.time() + _STARTS_S
            send(flows, ports, began_s)
            time.sleep(3.0)
        finally:
            for process in started:
                process.send_signal(signal.SIGTERM)
                process.wait(30)
    return began_s


def send(flows: NDArray[np.void], ports: list[int], began_s: float) -> None:
    """Each record soon after its end."""
    shifted = flows.copy()
    for name in ("begun_ms", "ended_ms"):
        shifted[name] += int(began_s * 1000)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.bind(("127.0.0.10", 0))
        for due_s, payloads in _slices(shifted, flows["ended_ms"], began_s):
            while (ahead_s := due_s - time.time()) > 0:
                select.select([], [], [], ahead_s)
            for payload in payloads:
                for port in ports:
                    out.sendto(payload, ("127.0.0.1", port))


def _slices(
    flows: NDArray[np.void], ended_ms: NDArray[np.int64], began_s: float
) -> Iterator[tuple[float, list[bytes]]]:
    step_ms = int(_SLICE_S * 1000)
    bounds = np.searchsorted(ended_ms, np.arange(0, int(ended_ms[-1]) + 2 * step_ms, step_ms))
    for number in range(len(bounds) - 1):
        some = flows[bounds[number] : bounds[number + 1]]
        yield began_s + (number + 1) * _SLICE_S, [each.payload for each in exports.exported("v9", some)]


def show(began_s: float, found: list[dict[str, object]], bans: list[tuple[float, str]]) -> int:
    """A line for each attack; then who was accused besides. Exits with 1 if ours missed one, or accused an innocent."""
    missed, start_s = 0, began_s + attacks.BEGIN_S
    print(f"{'':16}{'suimon s':>10}  {'what it said':44}{'fastnetmon s':>14}")
    guilty = {test_attacks.GUESTS[name]: name for name in _SHOWN}
    for guest, name in guilty.items():
        attack = attacks.ATTACKS[name]
        its = [
            each for each in found if int(str(each["port"])[:8], 16) == guest and each["detector"] == attack.detector
        ]
        said = f"{attack.number} {its[-1]['numbers'][attack.number]} of {attack.true}" if its and attack.number else ""  # type: ignore[index]
        after = f"{float(str(its[0]['at'])) - start_s:.1f}" if its else "never"
        ban = next((f"{at - start_s:.1f}" for at, address in bans if address == f"10.0.0.{guest}"), "never")
        print(f"{name:16}{after:>10}  {said:44}{ban:>14}")
        missed += not its
    innocents = {int(str(each["port"])[:8], 16) for each in found} - guilty.keys()
    banned = {address for _, address in bans} - {f"10.0.0.{guest}" for guest in guilty}
    print(f"{'innocents':16}{len(innocents):>10}  {'':44}{len(banned):>14}")
    return 1 if missed or innocents else 0


if __name__ == "__main__":
    sys.exit(main())
