"""A real `suimon serve`, as a process of its own."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from unittest.mock import patch

from click.testing import CliRunner

from suimon.cli import main, serve

SUIMON = Path(sys.executable).with_name("suimon")
PATIENCE_S = 120.0


class Controller:
    """`started()` makes one that answers; its log is in `state`/log."""

    def __init__(self, state: Path, port: int, hosts_port: int, *options: str) -> None:
        self.state = state
        self.port = port
        self.hosts_port = hosts_port
        self._options = options
        self.process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        listen = ["--listen", f"127.0.0.1:{self.port}", "--hosts-listen", f"127.0.0.1:{self.hosts_port}"]
        # Guessing is as cheap as it gets: at the usual cost, half of what clients' commands take is their passwords.
        return [str(SUIMON), "serve", "--state", str(self.state), *listen, "--password-cost", "10", *self._options]

    def start(self) -> None:
        """Returns when it says that it is ready; who doesn't is ended."""
        with Path(f"{self.state}.log").open("a") as log:
            self.process = subprocess.Popen(self.command(), stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout
        said = line(self.process.stdout)
        if not said.startswith("suimon is ready"):
            self.stop(signal.SIGKILL)
            raise AssertionError(said + self.log())

    def refusal(self) -> str:
        """What it says instead of starting; it has to end with 1."""
        done = subprocess.run(self.command(), capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        assert done.returncode == 1, done
        assert done.stdout == ""
        return done.stderr

    def refusal_of_options(self) -> str:
        """The same of options, which are all read before anything begins: without a process, whose start takes long."""
        with patch.object(serve, "log_to_stderr"), patch.object(serve, "run", side_effect=AssertionError("it starts")):
            done = CliRunner().invoke(main, self.command()[1:])
        assert isinstance(done.exception, SystemExit) and done.exit_code == 1, done
        assert done.stdout == ""
        return done.stderr

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Its exit status, or its negative signal."""
        if self.process.poll() is None:
            os.kill(self.process.pid, number)
        return self.process.wait(PATIENCE_S)

    def log(self) -> str:
        return Path(f"{self.state}.log").read_text()


@contextmanager
def started(state: Path, *options: str) -> Iterator[Controller]:
    controller = Controller(state, free_port(), free_port(), *options)
    controller.start()
    try:
        yield controller
    finally:
        controller.stop(signal.SIGKILL)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def line(stream: IO[str]) -> str:
    """The next one; "" when none comes."""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        return stream.readline() if selector.select(PATIENCE_S) else ""
