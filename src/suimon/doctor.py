"""What a machine needs to be a hypervisor of ours, and what to mend where it isn't.

`probe` looks at the machine and returns `Facts`; `examine` is pure and turns facts into verdicts. Called by
`suimon doctor`.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final, Literal

import msgspec

from suimon.dataplane.unixctl import vswitchd
from suimon.dataplane.zones import read_limits

Level = Literal["ok", "warn", "fail"]

OLDEST_OPENVSWITCH: Final = (2, 8)
"""The first with a connection's original tuple (ovs-fields(7), ct_nw_src), which security groups match."""
TESTED_OPENVSWITCH: Final = (3, 1)
"""The oldest that the tests run on."""
SNAT_OPENVSWITCH: Final = (3, 5)
"""The first in which `ct(nat)` survives the reuse of a TCP port (docs/decisions)."""
OFFSET_FINDING_S: Final = 1
OFFSET_SUSPENDS_S: Final = 30

_SWITCH_PROGRAMS = ("ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl")
_TOOLS = {"ip": "iproute2", "ethtool": "ethtool"}
_GATEWAY_TOOLS = {"nft": "nftables", "sysctl": "procps"}
"""Where routers lead outside: their namespaces can't be made without."""
_LAB_TOOLS = {"udhcpc": "udhcpc"}
_PROGRAM_TIMEOUT_S = 5
_RESTARTS = ("always", "on-failure", "on-abnormal", "on-abort")
"""After it was killed."""
_UNIT = ("LoadState", "Restart", "StartLimitIntervalUSec", "StartLimitBurst")


class Facts(msgspec.Struct, frozen=True):
    """What was seen. `programs` maps a name to whether it is there; `controller` is None when no URL was given.

    `socket` is "open", "absent" or why it can't be opened. `kernel_datapath` is "loaded", "available" (as a module) or
    "absent". `clock_synchronised` is None when the machine doesn't say. `zone_limits` are the most connections of each
    zone that was given a limit in the kernel's datapath, `most_connections` is what its table has room for.
    `supervision` is None where systemd doesn't run ovs-vswitchd.
    """

    root: bool
    programs: dict[str, bool]
    openvswitch_version: str | None
    socket_path: str
    socket: str
    kernel_datapath: Literal["loaded", "available", "absent"]
    tun_device: bool
    unix_time_s: float
    clock_synchronised: bool | None
    controller: Reach | None = None
    supervision: Supervision | None = None
    zone_limits: tuple[int, ...] = ()
    most_connections: int | None = None


class Supervision(msgspec.Struct, frozen=True):
    """Of ovs-vswitchd's unit: Restart= (systemd.service(5)), StartLimitIntervalSec= and StartLimitBurst=
    (systemd.unit(5)), as systemctl(1) tells them."""

    restart: str
    limit_interval: str
    limit_burst: str


class Reach(msgspec.Struct, frozen=True):
    """How the controller answered; `failure` is empty when it did. `offset_s` is its clock minus ours."""

    url: str
    failure: str = ""
    offset_s: float | None = None


class Verdict(msgspec.Struct, frozen=True):
    """One line of the doctor's: `mend` says what to do and is empty where nothing is needed."""

    level: Level
    what: str
    seen: str
    mend: str = ""


def examine(facts: Facts) -> Iterator[Verdict]:
    """Every check in the order to mend them; pure. A `fail` is something that a hypervisor can't do without."""
    yield _permissions(facts)
    yield from _programs(facts)
    yield _version(facts)
    yield _database(facts)
    yield _datapath(facts)
    yield from _supervision(facts)
    yield from _connections(facts)
    yield _clock(facts)
    if facts.controller is not None:
        yield _reach(facts.controller)


def probe(socket_path: str, controller_url: str | None) -> Facts:
    """Look at this machine; takes a few seconds at most."""
    programs = [*_SWITCH_PROGRAMS, *_TOOLS, *_GATEWAY_TOOLS, *_LAB_TOOLS]
    return Facts(
        root=os.geteuid() == 0,
        programs={name: shutil.which(name) is not None for name in programs},
        openvswitch_version=_ask_version(),
        socket_path=socket_path,
        socket=_try_socket(socket_path),
        kernel_datapath=_find_datapath(),
        tun_device=Path("/dev/net/tun").exists(),
        unix_time_s=time.time(),
        clock_synchronised=_ask_synchronised(),
        controller=_try_controller(controller_url) if controller_url else None,
        supervision=_ask_supervision(),
        zone_limits=_ask_limits(Path(socket_path).parent),
        most_connections=_ask_room(),
    )


def _permissions(facts: Facts) -> Verdict:
    if facts.root:
        return Verdict("ok", "permissions", "root")
    return Verdict("fail", "permissions", "not root", "run the agent, the lab and this check as root (sudo)")


def _programs(facts: Facts) -> Iterator[Verdict]:
    packages = {**dict.fromkeys(_SWITCH_PROGRAMS, "openvswitch-switch"), **_TOOLS}
    yield _tools(facts, "programs", "fail", packages)
    yield _tools(facts, "gateway programs", "warn", _GATEWAY_TOOLS)
    yield _tools(facts, "lab programs", "warn", _LAB_TOOLS)


def _tools(facts: Facts, what: str, level: Level, packages: dict[str, str]) -> Verdict:
    missing = [name for name in packages if not facts.programs.get(name)]
    if not missing:
        return Verdict("ok", what, ", ".join(packages))
    wanted = " ".join(sorted({packages[name] for name in missing}))
    return Verdict(level, what, f"missing: {', '.join(missing)}", f"apt-get install {wanted}")


def _version(facts: Facts) -> Verdict:
    text = facts.openvswitch_version
    if text is None:
        return Verdict("fail", "Open vSwitch version", "unknown", "install Open vSwitch, see above")
    found = tuple(map(int, text.split(".")[:2]))
    if found < OLDEST_OPENVSWITCH:
        oldest = ".".join(map(str, OLDEST_OPENVSWITCH))
        return Verdict("fail", "Open vSwitch version", text, f"upgrade to {oldest} or later")
    if found < TESTED_OPENVSWITCH:
        tested = ".".join(map(str, TESTED_OPENVSWITCH))
        return Verdict(
            "warn", "Open vSwitch version", text, f"upgrade to {tested}, the oldest that is tested, or later"
        )
    if found < SNAT_OPENVSWITCH:
        return Verdict(
            "ok", "Open vSwitch version", f"{text} (its ct(nat) is not used: it fails when a TCP port is reused)"
        )
    return Verdict("ok", "Open vSwitch version", text)


def _database(facts: Facts) -> Verdict:
    what = f"database at {facts.socket_path}"
    if facts.socket == "open":
        return Verdict("ok", what, "answers")
    if facts.socket == "absent":
        return Verdict("fail", what, "not running", "systemctl enable --now openvswitch-switch")
    return Verdict("fail", what, facts.socket, "systemctl restart openvswitch-switch, and run this as root")


def _datapath(facts: Facts) -> Verdict:
    if facts.kernel_datapath == "loaded":
        return Verdict("ok", "datapath", "kernel (openvswitch module loaded)")
    if facts.kernel_datapath == "available":
        return Verdict("warn", "datapath", "the openvswitch module is there but not loaded", "modprobe openvswitch")
    if facts.tun_device:
        return Verdict(
            "warn", "datapath", "userspace only: slower", "for speed, run a kernel with the openvswitch module"
        )
    return Verdict(
        "fail", "datapath", "no openvswitch module, no /dev/net/tun", "modprobe openvswitch, or modprobe tun"
    )


def _supervision(facts: Facts) -> Iterator[Verdict]:
    """Who starts ovs-vswitchd again when it dies."""
    told, mend = facts.supervision, "install packaging/systemd/ovs-vswitchd.service.d (docs/guide/install.md)"
    if told is None:
        return
    if told.restart not in _RESTARTS:
        yield Verdict("fail", "supervision", f"ovs-vswitchd isn't started again (Restart={told.restart})", mend)
    elif told.limit_interval not in ("0", "infinity") and told.limit_burst != "0":
        seen = f"ovs-vswitchd is given up after {told.limit_burst} starts in {told.limit_interval}"
        yield Verdict("warn", "supervision", seen, mend)
    else:
        yield Verdict("ok", "supervision", "systemd starts ovs-vswitchd again, however often it dies")


def _connections(facts: Facts) -> Iterator[Verdict]:
    """Where guests that fill their zones would fill the kernel's table for all (docs/decisions/0040)."""
    if not facts.zone_limits or facts.most_connections is None:
        return
    most, room = sum(facts.zone_limits), facts.most_connections
    seen = f"room for {room} in the kernel, {len(facts.zone_limits)} zones of guests may have {most}"
    if most <= room:
        yield Verdict("ok", "connections", seen)
        return
    fitting = room // len(facts.zone_limits)
    mend = f"sysctl -w net.netfilter.nf_conntrack_max={most}, or suimon agent --most-connections {fitting}"
    yield Verdict("warn", "connections", seen, mend)


def _clock(facts: Facts) -> Verdict:
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(facts.unix_time_s))
    if facts.unix_time_s < 1_735_689_600:  # 2025-01-01: before any version of this program
        return Verdict("fail", "clock", f"{when} is in the past", "set the clock: timedatectl set-ntp true")
    if facts.clock_synchronised is False:
        return Verdict("warn", "clock", f"{when}, not synchronised", "timedatectl set-ntp true, or run chrony")
    return Verdict("ok", "clock", when)


def _reach(reach: Reach) -> Verdict:
    what = f"controller at {reach.url}"
    if reach.failure:
        return Verdict("fail", what, reach.failure, "check the address, the route to it, and that `suimon serve` runs")
    offset_s = abs(reach.offset_s or 0)
    if offset_s > OFFSET_SUSPENDS_S:
        return Verdict("fail", what, f"its clock differs by {offset_s:.0f} s", "synchronise both clocks (NTP)")
    if offset_s > OFFSET_FINDING_S:
        return Verdict("warn", what, f"its clock differs by {offset_s:.0f} s", "synchronise both clocks (NTP)")
    return Verdict("ok", what, "answers")


def _output(*args: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603
            args, capture_output=True, text=True, timeout=_PROGRAM_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def _ask_version() -> str | None:
    found = re.search(r"(\d+\.\d+(\.\d+)?)", _output("ovs-vswitchd", "--version") or "")
    return found[1] if found else None


def _try_socket(path: str) -> str:
    with socket.socket(socket.AF_UNIX) as probing:
        probing.settimeout(_PROGRAM_TIMEOUT_S)
        try:
            probing.connect(path)
        except FileNotFoundError:
            return "absent"
        except OSError as error:
            return error.strerror or str(error)
    return "open"


def _ask_supervision() -> Supervision | None:
    """Where systemd isn't what runs, systemctl fails and says nothing (sd_booted(3))."""
    return supervised(_output("systemctl", "show", "ovs-vswitchd.service", f"--property={','.join(_UNIT)}") or "")


def supervised(said: str) -> Supervision | None:
    """From what systemctl(1) shows of the properties of `ovs-vswitchd.service`; None if there is no such unit."""
    told = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    return Supervision(*(told.get(name, "") for name in _UNIT[1:])) if told.get("LoadState") == "loaded" else None


def _find_datapath() -> Literal["loaded", "available", "absent"]:
    if Path("/sys/module/openvswitch").exists():
        return "loaded"
    return "available" if _output("modinfo", "openvswitch") else "absent"


def _ask_limits(rundir: Path) -> tuple[int, ...]:
    """Nothing where there is no kernel's datapath, or where more than about 300 have one: they don't fit the message
    in which the kernel tells all of them.
    """
    try:
        control = vswitchd(rundir)
    except (OSError, ValueError):
        return ()
    said = _output("ovs-appctl", f"--target={control}", "dpctl/ct-get-limits", "system@ovs-system") or ""
    return tuple(filled.most for filled in read_limits(said)[1].values() if filled.most)


def _ask_room() -> int | None:
    try:
        return int(Path("/proc/sys/net/netfilter/nf_conntrack_max").read_text())
    except (OSError, ValueError):
        return None


def _ask_synchronised() -> bool | None:
    said = (_output("timedatectl", "show", "--property=NTPSynchronized", "--value") or "").strip()
    return {"yes": True, "no": False}.get(said)


def _try_controller(url: str) -> Reach:
    if not url.startswith(("http://", "https://")):
        return Reach(url, "not an http:// or https:// URL")
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/healthz", timeout=_PROGRAM_TIMEOUT_S) as answer:  # noqa: S310
            date = answer.headers.get("Date")
    except urllib.error.HTTPError as error:
        # Whatever it says of the path, something answers there; its Date still tells the time.
        date = error.headers.get("Date")
    except (OSError, ValueError) as error:
        return Reach(url, str(getattr(error, "reason", error)))
    return Reach(url, offset_s=_offset_s(date))


def _offset_s(date: str | None) -> float | None:
    """The Date header has whole seconds (RFC 9110, 5.6.7); half of one more is the best guess."""
    try:
        return parsedate_to_datetime(date).timestamp() + 0.5 - time.time() if date else None
    except ValueError:
        return None
