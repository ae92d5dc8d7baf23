"""A private Open vSwitch for a test: database and switch daemons in a network namespace of their own.

Userspace daemons each make a device `ovs-netdev`, so two in one namespace collide. Everything has the prefix `smt-`,
and `stop` takes all of it away, whatever state it is in.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from suimon.dataplane.kernel import kernel_datapath
from suimon.lab import processes
from tests.patience import patient

SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
DATAPATH = "system" if kernel_datapath() else "netdev"
"""As the product chooses it: the kernel's where there is one."""


def run(*command: str, timeout_s: float = 30) -> str:
    """A command's output; a failing one raises with what it said."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=patient(timeout_s), check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


class OpenVSwitch:
    """One hypervisor's switch. `rundir` holds its sockets, `namespace` its devices, `guests` the guests' namespaces."""

    def __init__(self) -> None:
        self.tag = secrets.token_hex(3)
        self.namespace = f"smt-{self.tag}"
        self.home = Path(tempfile.mkdtemp(prefix="smt-ovs-"))
        self.rundir = self.home / "run"
        self.guests: list[str] = []

    @property
    def db(self) -> Path:
        return self.rundir / "db.sock"

    def start(self) -> None:
        for name in ("run", "log", "etc"):
            (self.home / name).mkdir()
        run("ip", "netns", "add", self.namespace)
        self.exec("ip", "link", "set", "lo", "up")
        run("ovsdb-tool", "create", str(self.home / "conf.db"), str(SCHEMA))
        self.start_database()
        self.vsctl("--no-wait", "init")
        self.start_switch()

    def start_database(self) -> None:
        self._daemon("ovsdb-server", str(self.home / "conf.db"), f"--remote=punix:{self.db}")

    def start_switch(self) -> None:
        self._daemon("ovs-vswitchd", f"unix:{self.db}")

    def kill(self, daemon: str) -> None:
        """End `ovs-vswitchd` or `ovsdb-server` and wait until it has ended; it may not be reaped yet."""
        pidfile = self.rundir / f"{daemon}.pid"
        with contextlib.suppress(FileNotFoundError, ValueError):
            if process := processes.find(int(pidfile.read_text())):
                processes.kill(process)
        pidfile.unlink(missing_ok=True)

    def stop(self) -> None:
        for namespace in [*self.guests, self.namespace]:
            for pid in subprocess.run(
                ["ip", "netns", "pids", namespace], capture_output=True, text=True, check=False
            ).stdout.split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        self.kill("ovs-vswitchd")
        self.kill("ovsdb-server")
        agents = [each.name for each in Path("/run/netns").glob(f"{self.namespace}-*") if each.name not in self.guests]
        for namespace in [*self.guests, self.namespace, *agents]:
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True, check=False)
        shutil.rmtree(self.home, ignore_errors=True)

    def exec(self, *command: str, guest: str | None = None, timeout_s: float = 30) -> str:
        """Run a command in the switch's namespace, or in a guest's."""
        return run("ip", "netns", "exec", guest or self.namespace, *command, timeout_s=timeout_s)

    def vsctl(self, *arguments: str) -> str:
        return run("ovs-vsctl", f"--db=unix:{self.db}", "--timeout=20", *arguments).strip()

    def ofctl(self, command: str, bridge: str = "br-int", *arguments: str) -> str:
        return run("ovs-ofctl", "-O", "OpenFlow15", command, str(self.rundir / f"{bridge}.mgmt"), *arguments)

    def appctl(self, *arguments: str) -> str:
        return run("ovs-appctl", "-t", str(self.control), *arguments)

    @property
    def control(self) -> Path:
        """The control socket of ovs-vswitchd."""
        return self.rundir / f"ovs-vswitchd.{(self.rundir / 'ovs-vswitchd.pid').read_text().strip()}.ctl"

    def add_bridge(self, bridge: str = "br-int") -> None:
        """A bridge that forwards nothing by itself; the product's own way of making one is `Switch.ensure`."""
        settings = "fail_mode=secure protocols=OpenFlow10,OpenFlow13,OpenFlow14,OpenFlow15"
        datapath = f"datapath_type={DATAPATH}"
        self.vsctl("--may-exist", "add-br", bridge, "--", "set", "bridge", bridge, datapath, *settings.split())

    def add_guest(self, port_id: str, mac: str, cidr: str | None = None, bridge: str = "br-int") -> str:
        """A guest namespace with `eth0` on the bridge, plugged as Nova does by iface-id; returns its name."""
        number = len(self.guests)
        guest, tap = f"{self.namespace}-{number}", f"tap{number}"
        self.guests.append(guest)
        run("ip", "netns", "add", guest)
        cable = ["type", "veth", "peer", "name", "eth0", "address", mac, "netns", guest]
        run("ip", "-n", self.namespace, "link", "add", tap, "up", *cable)
        if DATAPATH == "netdev":  # There nobody fills in a checksum that was left to the hardware.
            self.exec("ethtool", "-K", tap, "tx", "off")
            self.exec("ethtool", "-K", "eth0", "tx", "off", guest=guest)
        for device in ("lo", "eth0"):
            run("ip", "-n", guest, "link", "set", device, "up")
        if cidr:
            run("ip", "-n", guest, "addr", "add", cidr, "dev", "eth0")
        self.plug(tap, port_id, bridge)
        return guest

    def plug(self, interface: str, port_id: str, bridge: str = "br-int") -> None:
        ids = [f"external_ids:iface-id={port_id}", f"external_ids:vm-uuid={port_id}"]
        self.vsctl("add-port", bridge, interface, "--", "set", "interface", interface, *ids)

    def unplug(self, interface: str) -> None:
        self.vsctl("del-port", interface)

    def ofport(self, interface: str) -> int:
        return int(self.vsctl("get", "interface", interface, "ofport"))

    def _daemon(self, name: str, *arguments: str) -> None:
        environment = [f"OVS_RUNDIR={self.rundir}", f"OVS_LOGDIR={self.home / 'log'}", f"OVS_SYSCONFDIR={self.home}"]
        options = [
            f"--pidfile={self.rundir / name}.pid",
            f"--log-file={self.home / 'log' / name}.log",
            "--detach",
            "--no-chdir",
            "-vconsole:off",
        ]
        self.exec("env", *environment, f"OVS_DBDIR={self.home}", name, *arguments, *options)
