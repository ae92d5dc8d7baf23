"""Hypervisors without a switch: hosts that have joined and listen, so that the API has agents to show."""

from __future__ import annotations

import json
import subprocess
import threading
import urllib.request
from contextlib import suppress

from tests.api.controller import PATIENCE_S, SUIMON, Controller


def join(controller: Controller, name: str, tunnel_ip: str) -> None:
    """Makes one, which listens until the controller ends."""
    command = [str(SUIMON), "host", "token", "--state", str(controller.state), "--host", name]
    token = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S).stdout.strip()
    with _ask(controller, "join", {"token": token, "host": name, "tunnel_ip": tunnel_ip}) as answer:
        credential = json.load(answer)["credential"]
    threading.Thread(target=_listen, args=(controller, credential), daemon=True).start()


def _listen(controller: Controller, credential: str) -> None:
    with suppress(OSError), _ask(controller, "watch", {"schema": 1, "position": None}, credential) as frames:
        for _ in frames:
            pass


def _ask(controller: Controller, call: str, body: object, credential: str = "") -> urllib.request.addinfourl:
    url = f"http://127.0.0.1:{controller.hosts_port}/hosts/v1/{call}"
    headers = {"Authorization": f"Bearer {credential}"} if credential else {}
    return urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=PATIENCE_S)
