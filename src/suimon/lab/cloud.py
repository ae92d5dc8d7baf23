"""The cloud in the lab: controller, collector, an agent on each hypervisor, and the way to kill and start them."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from suimon.lab import processes
from suimon.lab.error import LabError
from suimon.lab.layout import PHYSNET, Host, Layout

CONTROLLER = "controller"
COLLECTOR = "collector"
_JUDGED = "gateways_judged"
_START_TIMEOUT_S = 60.0

Record = Callable[[str, processes.Process], None]
"""What is told of each process, by name."""


class Controller(msgspec.Struct, frozen=True):
    """Where a controller has its state, and where it listens (HOST:PORT): for clients, and for hosts."""

    state: Path
    clients: str
    hosts: str
    options: tuple[str, ...] = ()


class Cloud:
    """Keeps a pid file and a log a process. `record` is called with each process that it starts; `program` is how, and
    `controllers` are those of the cloud, by name.
    """

    def __init__(self, layout: Layout, record: Record) -> None:
        self._layout = layout
        self._record = record
        self.program: Sequence[str] = [str(Path(sys.executable).with_name("suimon"))]
        clients, hosts = f"127.0.0.1:{layout.config.api_port}", f"{layout.controller_ip}:9697"
        self.controllers = {CONTROLLER: Controller(layout.controller_state, clients, hosts)}
        self._env = processes.environment(layout.directory)

    def start_controllers(self) -> None:
        """One after the other: the first makes the tables and the admin's account."""
        for name in self.controllers:
            self.start_controller(name)

    def start_controller(self, name: str = CONTROLLER) -> None:
        """Returns once it answers clients; LabError if it ends before."""
        at = self.controllers[name]
        at.state.mkdir(parents=True, exist_ok=True)
        listen = ["--listen", at.clients, "--hosts-listen", at.hosts]
        serve = [*self.program, "serve", "--state", str(at.state), *listen, "--physnets", PHYSNET, *at.options]
        # Few ports, and somebody who watches.
        serve += ["--usage-every", "5"]
        self._await_listening(name, self._start(name, serve), at.clients)

    def kill_controller(self, name: str = CONTROLLER) -> None:
        """kill -9."""
        self._kill(name)

    def join_collector(self) -> None:
        """It gets its own credential from the controller that runs."""
        state = self._layout.collector_state
        state.mkdir(parents=True, exist_ok=True)
        where = ["--name", "flows", "--ask-url", f"http://{self._layout.records_listen}"]
        join = [*self.program, "collector", "--state", str(state), "join", self._layout.hosts_url, *where]
        processes.run(join, stdin=self._token("--collector", "flows"), env=self._env, timeout_s=60)

    def start_collector(self) -> None:
        """Returns once it can be asked, and takes what hosts export."""
        where = ["--listen", self._layout.records_listen, "--flows", self._layout.export_to]
        collect = [*self.program, "collector", "--state", str(self._layout.collector_state), *where]
        self._await_listening(COLLECTOR, self._start(COLLECTOR, collect), self._layout.records_listen)

    def kill_collector(self) -> None:
        """kill -9."""
        self._kill(COLLECTOR)

    def token(self, host: Host) -> str:
        """Lets the host join, once."""
        return self._token("--host", host.name)

    def join(self, host: Host, token: str) -> None:
        """The host gets its own credential for the token."""
        host.directory.mkdir(parents=True, exist_ok=True)
        token_file = host.directory / "token"
        token_file.touch(mode=0o600)
        token_file.write_text(token)
        where = ["--host", host.name, "--tunnel-ip", host.tunnel_ip, "--physnet", PHYSNET]
        join = [*self.program, "join", self._layout.hosts_url, "--token-file", str(token_file), *where]
        processes.run(_inside(host, [*join, "--state", str(host.agent_state)]), env=self._env, timeout_s=60)
        token_file.unlink()

    def start_agent(self, host: Host) -> None:
        """Returns at once; the agent makes br-int when it has its view."""
        where = [
            "--state",
            str(host.agent_state),
            "--ovs-rundir",
            str(host.rundir),
            "--uplink",
            f"{PHYSNET}=eth-public",
            "--netns-prefix",
            f"{host.namespace}-",
            *self._export(),
        ]
        # Not `ip netns exec`: namespaces that the agent makes there would be gone with it (ip-netns(8)).
        self._start(host.name, ["nsenter", f"--net=/run/netns/{host.namespace}", *self.program, "agent", *where])

    def await_agent(self, host: Host, *, timeout_s: float = 30) -> None:
        """Returns once the agent answers and its view is in the switch."""
        deadline = time.monotonic() + timeout_s
        while not any(line.startswith("in the switch: revision") for line in self.agent_status(host)):
            if time.monotonic() > deadline:
                raise LabError(
                    f"The agent of {host.name} was not ready within {timeout_s:g} s:\n{self.last_words(host.name)}"
                )
            # The agent tells its state to who asks, and only once it listens.
            time.sleep(0.05)

    def agent_status(self, host: Host) -> list[str]:
        """What `suimon agent status` prints, asked at the agent's socket; nothing from an agent that doesn't listen."""
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(5)
            try:
                asking.connect(str(host.agent_state / "control.sock"))
                asking.sendall(b'{"command":"status"}\n')
                with asking.makefile("rb") as answer:
                    said = msgspec.json.decode(answer.readline(), type=dict[str, list[str]])
            except (OSError, msgspec.MsgspecError):
                return []
        return said.get("lines", [])

    def await_hosts(self, *, timeout_s: float = 30) -> None:
        """Returns once every hypervisor follows the controller and has all its changes in the switch."""
        deadline, wanted = time.monotonic() + timeout_s, 0
        while True:
            hosts = self.hosts()
            # One of several controllers may not know yet how far another has told a host.
            wanted = max([wanted, *(host["lag_as_of"] for host in hosts)])
            lacking = [host for host in hosts if not host["up"] or host["lag_revisions"] or host["lag_as_of"] < wanted]
            if not lacking:
                return
            if time.monotonic() > deadline:
                names = ", ".join(host["name"] for host in lacking)
                what = msgspec.json.encode(lacking).decode()
                raise LabError(f"{names} did not follow the controller within {timeout_s:g} s: {what}")
            # The controller tells who asks.
            time.sleep(0.1)

    def hosts(self) -> list[dict[str, Any]]:
        """What `suimon host list --json` prints."""
        state = str(self._layout.controller_state)
        said = processes.run([*self.program, "host", "list", "--json", "--state", state], env=self._env, timeout_s=60)
        return msgspec.json.decode(said, type=list[dict[str, Any]])

    def kill_agent(self, host: Host) -> None:
        """kill -9."""
        self._kill(host.name)

    def process(self, name: str) -> processes.Process | None:
        """The running controller of this name, or the collector, or the agent of the host of this name."""
        try:
            pid, started = map(int, self._pid_file(name).read_text().split())
        except (FileNotFoundError, ValueError):
            return None
        process = processes.Process(pid, started)
        return process if processes.alive(process) else None

    def log(self, name: str) -> Path:
        states = {name: each.state for name, each in self.controllers.items()}
        states[COLLECTOR] = self._layout.collector_state
        return (states[name] if name in states else self._layout.host(name).directory) / "log"

    def judgements(self) -> dict[str, list[str]]:
        """By host what its agent said of which gateway hosts serve, each time that changed. Flows follow that."""
        logs = {host.name: self.log(host.name) for host in self._layout.hosts}
        return {name: [line for line in _lines(log) if f"event={_JUDGED} " in line] for name, log in logs.items()}

    def is_a_gateway_away(self) -> bool:
        """Whether one is, to an agent: as by what it said last."""
        return any(lines and "away=[] " not in lines[-1] for lines in self.judgements().values())

    def last_words(self, name: str) -> str:
        """The end of a log, for a message about why a process died."""
        return "\n".join(_lines(self.log(name))[-8:]) or "(it said nothing)"

    def _token(self, *whom: str) -> str:
        make = [*self.program, "host", "token", "--state", str(self._layout.controller_state), *whom]
        return processes.run(make, env=self._env, timeout_s=60)

    def _export(self) -> list[str]:
        sampling = self._layout.config.sampling
        return ["--export-to", self._layout.export_to, "--export-sampling", str(sampling)] if sampling else []

    def _start(self, name: str, args: list[str]) -> subprocess.Popen[bytes]:
        if self.process(name):
            raise LabError(f"The {name} of the lab is running already.")
        child = processes.start(args, self.log(name), self._env)
        if process := processes.find(child.pid):
            self._pid_file(name).write_text(f"{process.pid} {process.started}\n")
            self._record(name, process)
        return child

    def _kill(self, name: str) -> None:
        process = self.process(name)
        if process is None:
            raise LabError(f"The {name} of the lab is not running; see {self.log(name)}.")
        processes.kill(process)

    def _pid_file(self, name: str) -> Path:
        return self.log(name).with_name("pid")

    def _await_listening(self, name: str, child: subprocess.Popen[bytes], where: str) -> None:
        """`where` is HOST:PORT."""
        address, _, l4_port = where.rpartition(":")
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            if child.poll() is not None:
                raise LabError(f"The {name} ended with {child.returncode}:\n{self.last_words(name)}")
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex((address, int(l4_port))) == 0:
                    return
            # Nothing tells another process that a TCP port begins to listen; this is at start only.
            time.sleep(0.05)
        raise LabError(f"The {name} did not answer within {_START_TIMEOUT_S:g} s; see {self.log(name)}.")


def _inside(host: Host, args: list[str]) -> list[str]:
    return ["ip", "netns", "exec", host.namespace, *args]


def _lines(log: Path) -> list[str]:
    return log.read_text(errors="replace").strip().splitlines()
