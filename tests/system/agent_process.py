"""The agent as an operator runs it: `suimon join`, then `suimon agent` as a process, to be killed at any moment."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from suimon.model.view import Port
from tests.agent.fake_controller import TOKEN, FakeController
from tests.patience import patient
from tests.system.openvswitch import OpenVSwitch

SUIMON = str(Path(sys.executable).with_name("suimon"))


class AgentProcess:
    """One hypervisor's agent, its state in `state`. `stop` ends it however it is."""

    def __init__(self, switch: OpenVSwitch, state: Path, *arguments: str):
        self.state = state
        self.log = state.with_suffix(".log")
        where = ["--state", str(state), "--ovs-rundir", str(switch.rundir), "--netns-prefix", f"{switch.namespace}-"]
        self.command = [SUIMON, "agent", *where, *arguments]
        self._process: subprocess.Popen | None = None

    def join(self, controller: FakeController, *arguments: str) -> None:
        command = [SUIMON, "join", controller.url, "--host", "h1", "--state", str(self.state), *arguments]
        subprocess.run(command, input=f"{TOKEN}\n", text=True, check=True, timeout=patient(30), capture_output=True)

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self, number: int = signal.SIGKILL) -> int:
        """Its exit status."""
        assert self._process is not None
        os.kill(self._process.pid, number)
        return self._process.wait(patient(15))

    def cpu_s(self) -> float:
        """What it has used of the processor so far (proc(5), stat), by all its threads."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def ask(self, *arguments: str) -> str:
        """What a `suimon …` command about this agent prints."""
        command = [SUIMON, *arguments, "--state", str(self.state)]
        done = subprocess.run(command, text=True, timeout=patient(30), capture_output=True, check=False)
        return done.stdout + done.stderr

    def wait_log(self, text: str, after: int = 0, timeout_s: float = 20) -> None:
        """Until the log has `text` behind its first `after` bytes."""
        deadline = time.monotonic() + patient(timeout_s)
        while text not in self.log.read_text()[after:]:
            assert time.monotonic() < deadline, f"no {text!r} in:\n{self.log.read_text()[after:]}"
            time.sleep(0.02)


class Hypervisor(NamedTuple):
    """`guests` are the namespaces of its ports, in order."""

    controller: FakeController
    agent: AgentProcess
    guests: list[str]


@contextmanager
def hypervisor(
    switch: OpenVSwitch, state: Path, things: Sequence[object], ports: Sequence[Port], *arguments: str
) -> Iterator[Hypervisor]:
    """Told of those things and ports by a controller of its own, the guests plugged and their ports up."""
    controller, agent, guests = FakeController(), AgentProcess(switch, state, *arguments), list[str]()
    controller.start()
    try:
        agent.join(controller)
        controller.change(*things, *ports)
        agent.start()
        agent.wait_log("services_ready")
        guests += [switch.add_guest(each.id, each.mac, f"{each.fixed_ips[0].ip}/24") for each in ports]
        for each in ports:
            controller.wait_status(each.id, "ACTIVE")
        yield Hypervisor(controller, agent, guests)
    finally:
        agent.stop()
        controller.stop()
        print(agent.log.read_text())
