"""The unmodified `openstack` client, as its user types it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

from openstackclient import shell
from osc_lib.clientmanager import ClientCache, ClientManager

from tests.api.controller import PATIENCE_S, Controller

OPENSTACK = Path(sys.executable).with_name("openstack")


class Client:
    """The client as its user.

    The admin's `main` runs in this process: starting Python for each of a hundred commands would take two minutes. It
    keeps its connection from command to command, so that another user needs processes of his own, and another
    controller has to be connected to anew.
    """

    def __init__(self, controller: Controller, **user: str) -> None:
        self._own_process = bool(user)
        for kept in vars(ClientManager).values():
            if isinstance(kept, ClientCache):
                kept._handle = None
        self.environment = {
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",  # The client sets its process's, which is the tests' own.
            "HOME": str(controller.state),
            "OS_CLIENT_CONFIG_FILE": str(controller.state / "clouds.yaml"),
            "OS_CLOUD": "suimon",
            **user,
        }

    def run(self, command: str, *rest: str) -> str:
        status, said, complained = self._run(command, *rest)
        assert status == 0, f"openstack {command}: {complained}"
        return said

    def read(self, command: str, *rest: str) -> Any:
        return json.loads(self.run(f"{command} -f json", *rest))

    def refusal(self, command: str) -> str:
        status, said, complained = self._run(command)
        assert status != 0, said
        return complained.strip()

    def _run(self, command: str, *rest: str) -> tuple[int, str, str]:
        words = [*shlex.split(command), *rest]
        if self._own_process:
            done = subprocess.run(
                [OPENSTACK, *words],
                env=self.environment,
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                check=False,
            )
            return done.returncode, done.stdout, done.stderr
        said, complained = StringIO(), StringIO()
        with patch.dict(os.environ, self.environment, clear=True), redirect_stdout(said), redirect_stderr(complained):
            try:
                status = shell.main(words)
            except SystemExit as told:  # A command that there isn't.
                status = told.code
        return int(status), said.getvalue(), complained.getvalue()
