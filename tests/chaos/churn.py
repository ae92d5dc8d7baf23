"""Changes by the API all the while: groups, rules, ports that are plugged and unplugged, floating IPs."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from keystoneauth1.exceptions import ClientException
from openstack.connection import Connection
from openstack.exceptions import SDKException

from suimon.lab.lab import Lab
from tests.system.clouds import connect

_RETRIED = (SDKException, ClientException)
_TRIES = 40
_NAME = "churn"
_SPARE = "spare"
"""One on each host, plugged by its iface-id alone. A device that comes or goes would cost packets: the userspace
datapath then reads the host's routes anew, and drops what belongs into a tunnel meanwhile.
"""


class Churn:
    """`count` is of acknowledged changes. What a change makes is deleted again, whatever dies meanwhile."""

    def __init__(self, lab: Lab, network_id: str, outside_id: str, chance: random.Random) -> None:
        self.count = 0
        self._lab, self._network_id, self._outside_id, self._chance = lab, network_id, outside_id, chance
        self._stop = threading.Event()
        self._cloud: Connection = connect(lab)
        for host in lab.layout.hosts:
            vsctl = lab.switch(host.name).vsctl
            vsctl("add-port", "br-int", _SPARE, "--", "set", "interface", _SPARE, "type=internal")

    @contextmanager
    def running(self) -> Iterator[None]:
        worker = threading.Thread(target=self._work)
        worker.start()
        try:
            yield
        finally:
            self._stop.set()
            worker.join(timeout=120)
            self._sweep()

    def _sweep(self) -> None:
        """What was made although its maker died before it said so."""
        cloud = self._cloud.network
        ports = {port.id for port in cloud.ports(network_id=self._network_id) if port.name.startswith(_NAME)}
        found = [("ip", each.id) for each in cloud.ips() if each.description == _NAME]
        found += [("port", port_id) for port_id in ports]
        found += [("security_group", each.id) for each in cloud.security_groups() if each.name.startswith(_NAME)]
        for kind, id_ in found:
            self._delete(kind, id_)

    def _work(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            made: list[tuple[str, str]] = []
            with suppress(*_RETRIED):
                self._make(number, made)
            for kind, id_ in reversed(made):
                self._delete(kind, id_)

    def _make(self, number: int, made: list[tuple[str, str]]) -> None:
        cloud = self._cloud.network

        def note(kind: str, thing: object) -> str:
            made.append((kind, thing.id))  # type: ignore[attr-defined]
            self.count += 1
            return thing.id  # type: ignore[attr-defined, no-any-return]

        group = note("security_group", cloud.create_security_group(name=f"{_NAME}{number}"))
        for protocol in ("tcp", "udp"):
            rule = {"security_group_id": group, "direction": "ingress", "protocol": protocol}
            note("security_group_rule", cloud.create_security_group_rule(**rule))
        host = self._chance.choice(self._lab.layout.hosts).name
        more = {"network_id": self._network_id, "binding_host_id": host, "security_group_ids": [group]}
        port = note("port", cloud.create_port(name=f"{_NAME}{number}", **more))
        if number % 3 == 0:
            outside = {"floating_network_id": self._outside_id, "description": _NAME}
            note("ip", cloud.create_ip(port_id=port, **outside))
        if number % 2 == 0:
            self._plug(host, port)
        if number % 5 == 0:
            cloud.update_port(port, description=f"changed {number}")
            self.count += 1

    def _plug(self, host: str, port_id: str) -> None:
        """The spare interface is the port's for a moment: flows of a local port come and go."""
        vsctl = self._lab.switch(host).vsctl
        vsctl("--no-wait", "set", "interface", _SPARE, f"external_ids:iface-id={port_id}")
        self._stop.wait(0.2)
        vsctl("--no-wait", "remove", "interface", _SPARE, "external_ids", "iface-id")

    def _delete(self, kind: str, id_: str) -> None:
        """A dead controller is asked again: what stayed would be taken for an orphan."""
        for _ in range(_TRIES):
            try:
                getattr(self._cloud.network, f"delete_{kind}")(id_)
            except _RETRIED:
                threading.Event().wait(0.25)
            else:
                self.count += 1
                return
