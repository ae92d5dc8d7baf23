"""The unmodified `openstack` client, as a user of the lab's cloud runs it."""

from __future__ import annotations

import select
import shlex
import subprocess
import sys
import urllib.error
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
        self._token = ""

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

    def call(self, method: str, path: str, body: Json | None = None) -> Json:
        """What the client has no command for, as anybody's curl would: the answer, empty if there is none."""
        header = '-H "X-Auth-Token: $(openstack token issue -f value -c id)"'
        sent = f" -d {shlex.quote(msgspec.json.encode(body).decode())}" if body is not None else ""
        self._say(f"$ curl -X {method} {self._layout.api_url}{path} {header}{sent}")
        return self.ask(path, method, body)

    def ask(self, path: str, method: str = "GET", body: Json | None = None) -> Json:
        """The same, and nothing is shown: for questions that are asked until something is so."""
        if not self._token:
            self._token = self._ask(("token", "issue", "-f", "value", "-c", "id")).strip()
        headers = {"X-Auth-Token": self._token, "Content-Type": "application/json"}
        sent = msgspec.json.encode(body) if body is not None else None
        request = urllib.request.Request(f"{self._layout.api_url}{path}", sent, headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return self._decode(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            said = error.read(1000).decode(errors="replace")
            raise LabError(f"{method} {path} was refused with {error.code}: {said}") from error
        except OSError as error:
            raise LabError(f"{method} {path} failed: {error}") from error

    def settings(self) -> dict[str, str]:
        return {"OS_CLIENT_CONFIG_FILE": str(self._layout.clouds_yaml), "OS_CLOUD": "suimon"}

    def invitation(self) -> str:
        """How to use the cloud from a second terminal."""
        exports = "\n".join(f"  export {name}={shlex.quote(value)}" for name, value in self.settings().items())
        config, usual = self._layout.config, LabConfig()
        option = "" if config.name == usual.name else f" --name {config.name}"
        option += "" if config.root == usual.root else f" --root {shlex.quote(config.root)}"
        lab = f"suimon lab{option}"
        return (
            f"The lab is up. To use the cloud from another terminal (as root):\n{exports}\n"
            f"  export PATH={shlex.quote(str(self._program.parent))}:$PATH\n"
            "  openstack network create net1\n"
            "  openstack subnet create --network net1 --subnet-range 10.9.0.0/24 subnet1\n"
            "  openstack port create --network net1 --host hv1 --device-owner compute:nova port1\n"
            "  openstack port create --network net1 --host hv2 port2\n"
            f"  {lab} guest add vm1 --host hv1 --port port1 --movable\n"
            f"  {lab} guest add vm2 --host hv2 --port port2\n"
            f"  {lab} exec vm1 -- ip address\n"
            "And then:\n"
            "  suimon why port1 port2 --proto tcp --port 22 --trace --probe    # does it get there, and who decides\n"
            f"  {lab} guest migrate vm1 --to hv3                           # as Nova does\n"
            "  suimon host drain hv2                                           # out of service; --undo: back\n"
            "  suimon lab swarm --hosts 20 --ports 2000 --fault-s 10           # 20 agents more, and their storms"
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
