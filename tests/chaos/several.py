"""Several controllers on one PostgreSQL server, behind a load balancer, as docs/guide/database.md has it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from suimon.lab.cloud import CONTROLLER, Cloud, Controller, Record
from suimon.lab.layout import Layout

_BALANCER: Final = "balancer"
_SETTINGS: Final = """defaults
    timeout connect 2s
    timeout client 1m
    timeout server 1m
    retries 3
    option redispatch
    option httpchk GET /healthz
    default-server check inter 500ms fall 2 rise 1

listen clients
    bind {clients}
    mode http
    option forwardfor
{for_clients}

listen hosts
    bind {hosts}
    mode tcp
    stick-table type ip size 10k
    stick on src
{for_hosts}
"""


class SeveralControllers(Cloud):
    """`count` of them; HAProxy listens where the lab's only one would, and is never killed."""

    def __init__(self, layout: Layout, record: Record, database: str, count: int) -> None:
        super().__init__(layout, record)
        (self._front,) = self.controllers.values()
        options = ("--database", database, "--public-url", layout.api_url, "--hosts-noted-every", "2")
        self.controllers = {}
        for number in range(1, count + 1):
            name, at = f"{CONTROLLER}{number if number > 1 else ''}", f"127.1.{layout.config.number}.{number}"
            self.controllers[name] = Controller(layout.directory / name, f"{at}:9696", f"{at}:9697", options)

    def start_controllers(self) -> None:
        super().start_controllers()
        settings = self.log(_BALANCER).with_name("haproxy.cfg")
        settings.parent.mkdir()
        found = self.controllers.items()
        clients = "\n".join(f"    server {name} {each.clients}" for name, each in found)
        # Who can't do a client's work is no controller for a host either.
        fit = {name: f"port {each.clients.partition(':')[2]}" for name, each in found}
        hosts = "\n".join(f"    server {name} {each.hosts} {fit[name]}" for name, each in found)
        front = {"clients": self._front.clients, "hosts": self._front.hosts}
        settings.write_text(_SETTINGS.format(**front, for_clients=clients, for_hosts=hosts))
        child = self._start(_BALANCER, ["haproxy", "-db", "-f", str(settings)])
        self._await_listening(_BALANCER, child, self._front.clients)

    def log(self, name: str) -> Path:
        return self._layout.directory / _BALANCER / "log" if name == _BALANCER else super().log(name)
