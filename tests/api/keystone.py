"""A real Keystone, from PyPI, on SQLite: what Suimon beside a Keystone is tested against.

It lives in an environment of its own: Keystone's dependencies are no business of ours. An empty
cloud is bootstrapped there once too; each test starts from a copy of it.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from tests.api.controller import free_port
from tests.environments import installed

PINS = Path(__file__).with_name("keystone-pins.txt")
PASSWORD = "the first admin's"
PATIENCE_S = 60.0
_SERVE = """
import sys
listen = sys.argv[1]
sys.argv = ["keystone"]  # Keystone reads the command line when it is imported.
import waitress
from keystone.wsgi.api import application
waitress.serve(application, listen=listen, threads=4)
"""


class RealKeystone:
    """One that answers at `url` (with `/v3`), and calls to it as its admin."""

    def __init__(self, directory: Path, port: int) -> None:
        self.directory = directory
        self.url = f"http://127.0.0.1:{port}/v3"
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers."""
        environment = _environment(self.directory)
        with (self.directory / "serve.log").open("ab") as log:
            python = installed("keystone", PINS) / "bin/python"
            command = [python, "-W", "ignore", "-c", _SERVE, f"127.0.0.1:{self._port}"]
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        end = time.monotonic() + PATIENCE_S
        while not self._answers():
            assert self._process.poll() is None, (self.directory / "serve.log").read_text()[-2000:]
            assert time.monotonic() < end, "Keystone does not answer"
            time.sleep(0.1)

    def stop(self) -> None:
        """At once, as a machine that fails."""
        if self._process:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(PATIENCE_S)
            self._process = None

    def token(self, user: str, password: str, scope: dict[str, Any]) -> str:
        """A token by password."""
        proof = {"user": {"name": user, "password": password, "domain": {"name": "Default"}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": proof}, "scope": scope}}
        return str(self._send("POST", "auth/tokens", body, {})[1]["X-Subject-Token"])

    def call(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        """As the admin; what comes back, None for nothing."""
        admin = self.token("admin", PASSWORD, project("admin"))
        return self._send(method, path, body, {"X-Auth-Token": admin, **headers})[0]

    def account(self, name: str, *roles: str) -> tuple[str, str]:
        """A user with his name as the password, in a project of that name: (user id, project id)."""
        user = self.call("POST", "users", {"user": {"name": name, "password": name}})["user"]["id"]
        made = self.call("POST", "projects", {"project": {"name": name}})["project"]["id"]
        known = {role["name"]: role["id"] for role in self.call("GET", "roles")["roles"]}
        for role in roles:
            self.call("PUT", f"projects/{made}/users/{user}/roles/{known[role]}")
        return user, made

    def _answers(self) -> bool:
        try:
            self._send("GET", "", None, {})
        except (URLError, ConnectionError):
            return False
        return True

    def _send(self, method: str, path: str, body: object, headers: dict[str, str]) -> tuple[Any, Any]:
        sent = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.url}/{path}", sent, {"Content-Type": "application/json", **headers}, method=method)
        with urlopen(request, timeout=PATIENCE_S) as response:
            text = response.read()
            return json.loads(text) if text else None, response.headers


def project(name: str) -> dict[str, Any]:
    return {"project": {"name": name, "domain": {"name": "Default"}}}


@contextmanager
def started(directory: Path) -> Iterator[RealKeystone]:
    """A Keystone whose database and log are in `directory`."""
    shutil.copytree(_blank(), directory, dirs_exist_ok=True)
    keystone = RealKeystone(directory, free_port())
    keystone.start()
    try:
        yield keystone
    finally:
        keystone.stop()


def _blank() -> Path:
    """A bootstrapped cloud with nobody in it but the admin."""
    home = installed("keystone", PINS)
    blank, draft = home / "blank", home / "blank.new"
    if not blank.exists():
        shutil.rmtree(draft, ignore_errors=True)
        for keys in ("fernet", "credential"):
            (draft / keys).mkdir(parents=True, mode=0o700)
            for number in (0, 1):
                (draft / keys / str(number)).write_bytes(urlsafe_b64encode(secrets.token_bytes(32)))
        environment = _environment(draft)
        where = ["--config-file", environment["OS_KEYSTONE_CONFIG_FILES"]]
        for command in (["db_sync"], ["bootstrap", "--bootstrap-password", PASSWORD]):
            _run(str(home / "bin" / "keystone-manage"), *where, *command, environment=environment)
        draft.rename(blank)
    return blank


def _environment(directory: Path) -> dict[str, str]:
    """For Keystone's commands: its configuration file, written for this place."""
    path = directory / "keystone.conf"
    keys = "".join(f"[{name}]\nkey_repository = {directory}/fernet\n" for name in ("fernet_tokens", "fernet_receipts"))
    path.write_text(
        f"[DEFAULT]\nlog_file = {directory}/keystone.log\n[database]\nconnection = sqlite:///{directory}/keystone.db\n"
        f"{keys}[credential]\nkey_repository = {directory}/credential\n[identity]\npassword_hash_rounds = 4\n"
    )
    return {**os.environ, "OS_KEYSTONE_CONFIG_FILES": str(path), "PYTHONWARNINGS": "ignore"}


def _run(*command: str, environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
