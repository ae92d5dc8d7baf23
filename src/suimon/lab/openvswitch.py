"""A private Open vSwitch: one ovsdb-server and one ovs-vswitchd in a namespace, with directories of their own.

Each ovs-vswitchd needs a namespace to itself: the userspace datapath makes a device `ovs-netdev` in it, two collide.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from suimon.lab import processes
from suimon.lab.births import Birth, births
from suimon.lab.error import LabError

_SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")


class OpenVSwitch:
    """`directory` holds run/, db/ and log/. `record` is called with a daemon's name and process once it is up."""

    def __init__(
        self, namespace: str, directory: Path, marker: Path, record: Callable[[str, processes.Process], None]
    ) -> None:
        self._namespace = namespace
        self._directory = directory
        self._record = record
        self.rundir = directory / "run"
        self._env = {
            **processes.environment(marker),
            "OVS_RUNDIR": str(self.rundir),
            "OVS_DBDIR": str(directory / "db"),
            "OVS_LOGDIR": str(directory / "log"),
            "OVS_SYSCONFDIR": str(directory / "etc"),
        }

    @property
    def database(self) -> str:
        return f"unix:{self.rundir}/db.sock"

    def start(self) -> None:
        """Both daemons, ready to be asked when this returns (they detach only then)."""
        for name in ("run", "db", "log", "etc"):
            (self._directory / name).mkdir(parents=True, exist_ok=True)
        conf = self._directory / "db" / "conf.db"
        if not conf.exists():
            processes.run(["ovsdb-tool", "create", str(conf), str(_SCHEMA)], env=self._env)
        self._daemon("ovsdb-server", str(conf), f"--remote=p{self.database}")
        self.vsctl("--no-wait", "init")
        self.start_vswitchd()

    def start_vswitchd(self) -> None:
        self._daemon("ovs-vswitchd", self.database)

    def vswitchd(self) -> processes.Process:
        """The running ovs-vswitchd; LabError if it is dead."""
        found = self._pid("ovs-vswitchd")
        if found is None:
            raise LabError(f"ovs-vswitchd of {self._namespace} is not running; see {self._directory}/log.")
        return found

    def running(self) -> bool:
        return all(self._pid(name) is not None for name in ("ovsdb-server", "ovs-vswitchd"))

    def vsctl(self, *args: str, timeout_s: int = 10) -> str:
        return processes.run(
            ["ovs-vsctl", f"--db={self.database}", f"--timeout={timeout_s}", *args],
            env=self._env,
            timeout_s=timeout_s + 5,
        )

    def ofctl(self, command: str, bridge: str, *args: str, stdin: str = "") -> str:
        target = f"unix:{self.rundir}/{bridge}.mgmt"
        return processes.run(["ovs-ofctl", "-O", "OpenFlow15", command, target, *args], env=self._env, stdin=stdin)

    def appctl(self, *args: str) -> str:
        """Ask the running ovs-vswitchd itself (ovs-appctl(8))."""
        target = f"{self.rundir}/ovs-vswitchd.{self.vswitchd().pid}.ctl"
        return processes.run(["ovs-appctl", "-t", target, *args], env=self._env)

    def aborts(self) -> list[str]:
        """What ovs-vswitchd wrote to its log as it aborted, by an assertion of its own, in all its lives."""
        log = (self._directory / "log" / "ovs-vswitchd.log").read_text(errors="replace")
        return [line for line in log.splitlines() if "|EMER|" in line]

    def bridges(self) -> list[str]:
        return self.vsctl("list-br").split()

    def flows(self, bridge: str) -> dict[str, Birth]:
        """Every entry of a bridge without its counters, and when it was put in."""
        return births(lambda: self.ofctl("dump-flows", bridge))

    def dump(self) -> dict[str, list[str]]:
        """All bridges as they are, counters left out: ports, flows, groups and meters of each, and the QoS rows."""
        world = {}
        for bridge in self.bridges():
            world[f"{bridge} ports"] = sorted(self.vsctl("list-ports", bridge).split())
            world[f"{bridge} flows"] = sorted(self.flows(bridge))
            for what in ("groups", "meters"):
                lines = self.ofctl(f"dump-{what}", bridge).splitlines()
                world[f"{bridge} {what}"] = sorted(line.strip() for line in lines if not line.startswith("OFPST_"))
        world["queues"] = sorted(self.vsctl("--columns=type,other_config", "--format=csv", "list", "qos").split("\n"))
        return world

    def _daemon(self, name: str, *args: str) -> None:
        detached = ["--detach", "--no-chdir", f"--pidfile={self.rundir}/{name}.pid"]
        log = [f"--log-file={self._directory}/log/{name}.log", "-vconsole:off"]
        # The priority that ovs-ctl(8) gives them: a switch that waits for its turn drops what its sockets can't hold.
        inside = ["ip", "netns", "exec", self._namespace, "nice", "-n", "-10"]
        processes.run([*inside, name, *args, *detached, *log], env=self._env)
        process = self._pid(name)
        if process is None:
            raise LabError(f"{name} of {self._namespace} ended as soon as it was started; see {self._directory}/log.")
        self._record(f"{name} {self._namespace}", process)

    def _pid(self, name: str) -> processes.Process | None:
        try:
            return processes.find(int((self.rundir / f"{name}.pid").read_text()))
        except (FileNotFoundError, ValueError):
            return None
