"""The unmodified `openstack` client, as a user of the lab's cloud runs it."""

from __future__ import annotations

import select
import shlex
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from suimon.lab import client, processes
from suimon.lab.error import LabError
from suimon.lab.layout import LabConfig, Layout

Json = dict[str, Any]

_TIMEOUT_S = 120


class OpenStack:
    """One command a call, by a client that is loaded once (`lab/client.py`): by the first command, until `close` or the
    end of a `with` block. `say` is shown what a user would type.
    """

    def __init__(self, layout: Layout, say: Callable[[str], None] | None = None) -> None:
        self._layout = layout
        self._say = say or (lambda _line: None)
        self._program = Path(sys.executable).with_name("openstack")
        self._client: subprocess.Popen[str] | None = None

    def __enter__(self) -> OpenStack:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the client; the next command starts another."""
        ending, self._client = self._client, None
        if ending:
            ending.kill()
            ending.communicate()

    def run(self, *args: str) -> str:
        """What the client prints; LabError with its words if it fails."""
        self._say(f"$ openstack {shlex.join(args)}")
        return self._ask(args)

    def create(self, *args: str) -> Json:
        """A command that prints the thing it made: `create("network", "create", "net1")`."""
        return self._decode(self.run(*args, "-f", "json"))

    def show(self, kind: str, name: str) -> Json:
        return self._decode(self.run(*kind.split(), "show", name, "-f", "json"))

    def table(self, *args: str) -> list[Json]:
        """A command that prints a table: a row a dict, by the columns' titles."""
        return msgspec.json.decode(self.run(*args, "-f", "json"), type=list[Json])

    def post(self, path: str, body: Json) -> Json:
        """POST to the network API what the client has no command for, as anybody's curl would."""
        sent = msgspec.json.encode(body)
        header = '-H "X-Auth-Token: $(openstack token issue -f value -c id)"'
        self._say(f"$ curl -X POST {self._layout.api_url}{path} {header} -d {shlex.quote(sent.decode())}")
        issued = self._ask(("token", "issue", "-f", "value", "-c", "id")).strip()
        headers = {"X-Auth-Token": issued, "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self._layout.api_url}{path}", sent, headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return self._decode(answer.read())
        except OSError as error:
            raise LabError(f"POST {path} failed: {error}") from error

    def settings(self) -> dict[str, str]:
        return {"OS_CLIENT_CONFIG_FILE": str(self._layout.clouds_yaml), "OS_CLOUD": "suimon"}

    def invitation(self) -> str:
        """How to use the cloud from a second terminal."""
        exports = "\n".join(f"  export {name}={shlex.quote(value)}" for name, value in self.settings().items())
        config, usual = self._layout.config, LabConfig()
        option = "" if config.name == usual.name else f" --name {config.name}"
        option += "" if config.root == usual.root else f" --root {shlex.quote(config.root)}"
        suimon = Path(sys.executable).with_name("suimon")
        return (
            f"The lab is up. To use the cloud from another terminal (as root):\n{exports}\n"
            f"  {self._program} network create net1\n"
            f"  {self._program} subnet create --network net1 --subnet-range 10.9.0.0/24 subnet1\n"
            f"  {self._program} port create --network net1 --host hv1 port1\n"
            f"  {suimon} lab{option} guest add vm1 --host hv1 --port port1\n"
            f"  {suimon} lab{option} exec vm1 -- ip address"
        )

    def _ask(self, args: tuple[str, ...]) -> str:
        what = f"`openstack {shlex.join(args)}`"
        running = self._client = self._client or self._start()
        assert running.stdin and running.stdout
        line = ""
        with suppress(OSError):
            running.stdin.write(msgspec.json.encode(args).decode() + "\n")
            running.stdin.flush()
            if not select.select([running.stdout], [], [], _TIMEOUT_S)[0]:
                self.close()
                raise LabError(f"{what} did not end within {_TIMEOUT_S} s.")
            line = running.stdout.readline()
        if not line:
            self.close()
            raise LabError(f"{what} was not answered: the client ended.")
        status, said, complaint = msgspec.json.decode(line, type=tuple[int, str, str])
        if status:
            raise LabError(f"{what} ended with {status}: {(complaint or said).strip()}")
        return said

    def _start(self) -> subprocess.Popen[str]:
        if not self._program.exists():
            raise LabError(f"The openstack client is not installed next to {sys.executable}; `uv sync` installs it.")
        env = {**processes.environment(self._layout.directory), **self.settings()}
        program = [sys.executable, "-I", client.__file__]
        pipe = subprocess.PIPE
        # A session of its own: Ctrl-C is for the one who asks.
        return subprocess.Popen(program, stdin=pipe, stdout=pipe, text=True, env=env, start_new_session=True)  # noqa: S603

    def _decode(self, text: str | bytes) -> Json:
        return msgspec.json.decode(text, type=Json)
