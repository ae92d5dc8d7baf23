"""Measurements between guests, by `lab/traffic.py` run inside them."""

from __future__ import annotations

import re
import select
import subprocess
import sys
from types import TracebackType
from typing import Any

import msgspec

from suimon.lab import processes, traffic
from suimon.lab.error import LabError
from suimon.lab.lab import Lab

Json = dict[str, Any]


class Probe:
    """One command of `traffic.py` that runs; as a context manager it is gone at the end of the block."""

    def __init__(self, namespace: str, args: tuple[str, ...], env: dict[str, str]) -> None:
        self._what = " ".join(args)
        self._ready = False
        program = ["ip", "netns", "exec", namespace, sys.executable, "-I", traffic.__file__, *args]
        self._child = subprocess.Popen(  # noqa: S603
            program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
        )

    def __enter__(self) -> Probe:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.kill()
        self._child.communicate()

    def ready(self, timeout_s: float = 20) -> Probe:
        """Itself, once it can receive, and be told to end."""
        if self._ready:
            return self
        assert self._child.stdout is not None
        if not select.select([self._child.stdout], [], [], timeout_s)[0]:
            raise LabError(f"`traffic {self._what}` was not ready within {timeout_s:g} s.")
        self._child.stdout.readline()
        self._ready = True
        return self

    def enough(self) -> Probe:
        """Itself, told to end now rather than when its time is over."""
        # One that has not begun yet would die of it.
        self.ready()._child.terminate()
        return self

    def result(self, timeout_s: float = 60) -> Json:
        try:
            said, complaint = self._child.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise LabError(f"`traffic {self._what}` did not end within {timeout_s:g} s.") from None
        if self._child.returncode:
            raise LabError(f"`traffic {self._what}` failed: {complaint.strip().splitlines()[-1:]}")
        return msgspec.json.decode(said.splitlines()[-1], type=Json)


class Measure:
    """Between places of a lab by name: guests and `internet`."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._env = processes.environment(lab.layout.directory)

    def probe(self, where: str, *args: str) -> Probe:
        return Probe(self._lab.namespace(where), args, self._env)

    def ping(self, source: str, address: str) -> tuple[int, str]:
        """How many of five were lost, and the average round trip in milliseconds."""
        inside = ["ip", "netns", "exec", self._lab.namespace(source)]
        command = ["ping", "-c", "5", "-i", "0.2", "-W", "1", address]
        done = subprocess.run([*inside, *command], capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
        received = re.search(r"(\d+) received", done.stdout)
        average = re.search(r"= [\d.]+/([\d.]+)/", done.stdout)
        return 5 - int(received[1] if received else 0), average[1] if average else "no answer"

    def connection(self, source: str, address: str, port: int, *, patience_s: float = 1.5) -> str:
        """What a TCP client sees: `open`, `refused` or `silent`."""
        with self.probe(source, "connect", address, str(port), "--patience", str(patience_s)) as probe:
            return str(probe.result()["connection"])

    def tcp(self, source: str, target: str, address: str, *, seconds: float) -> Json:
        """A stream as fast as it goes: what the receiver had of it."""
        with self.probe(target, "accept", "9001", "--patience", "5") as receiver:
            receiver.ready()
            with self.probe(source, "stream", address, "9001", "--seconds", str(seconds)) as sender:
                sender.result()
            return receiver.result()

    def udp(self, source: str, target: str, address: str, *, kbps: float, seconds: float) -> Json:
        """Packets of 1,228 bytes (with headers) at a steady rate: what the receiver had of them, and `sent`."""
        pps = kbps * 1000 / 8 / 1228
        with self.probe(target, "receive", "9000", "--patience", "5", "--idle", "0.5") as receiver:
            receiver.ready()
            steady = ("--seconds", str(seconds), "--pps", str(pps), "--size", "1200")
            with self.probe(source, "send", address, "9000", *steady) as sender:
                sent = sender.result()
            return {**receiver.result(), "sent": sent["sent"]}
