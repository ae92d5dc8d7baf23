"""Changes by the API all the while: groups, rules, ports that are plugged, unplugged and migrated, floating IPs."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from keystoneauth1.exceptions import ClientException
from openstack.connection import Connection
from openstack.exceptions import ConflictException, SDKException

from suimon.lab.lab import Lab
from tests.chaos.ledger import Ledger, Thing
from tests.system.clouds import connect

T = TypeVar("T")

_RETRIED = (SDKException, ClientException)
_TRIES = 40
_NAME = "churn"
_READY_S = 10.0
_PLUGGED_S = 0.2
_KEPT_EVERY = 4
"""So many groups, one stays until the end, to be looked for then."""
_SPARE = "spare"
"""One on each host, plugged by its iface-id alone. A device that comes or goes would cost packets: the userspace
datapath then reads the host's routes anew, and drops what belongs into a tunnel meanwhile.
"""


class Churn:
    """`count` is of acknowledged changes, `migrations` of ports that moved while they were plugged; `ledger` has what
    must be there in the end. What a change makes is deleted again, whatever dies meanwhile.
    """

    def __init__(self, lab: Lab, network_id: str, outside_id: str, chance: random.Random) -> None:
        self.count = self.migrations = 0
        self.ledger = Ledger()
        self._lab, self._network_id, self._outside_id, self._chance = lab, network_id, outside_id, chance
        self._stop = threading.Event()
        self._cloud: Connection = connect(lab)
        for host in lab.layout.hosts:
            vsctl = lab.switch(host.name).vsctl
            vsctl("add-port", "br-int", _SPARE, "--", "set", "interface", _SPARE, "type=internal")

    @contextmanager
    def running(self) -> Iterator[None]:
        with ThreadPoolExecutor(1) as pool:
            worker = pool.submit(self._work)
            try:
                yield
            finally:
                self._stop.set()
                worker.result(timeout=120)
            found = _tried(self._found)
            self.ledger.compare(found)
            for kind, id_ in found:
                self._delete(kind, id_)

    def _found(self) -> dict[Thing, dict[str, str]]:
        """All that was made here and is there, also what nobody acknowledged; what refers to others first."""
        cloud = self._cloud.network
        ours = [each for each in cloud.security_groups() if each.name.startswith(_NAME)]
        ids = {each.id for each in ours}
        found = {("ip", each.id): {} for each in cloud.ips() if each.description == _NAME}
        ports = cloud.ports(network_id=self._network_id)
        found |= {("port", each.id): {} for each in ports if each.name.startswith(_NAME)}
        rules = [each for each in cloud.security_group_rules() if each.security_group_id in ids]
        found |= {("security_group_rule", each.id): {} for each in rules}
        return found | {("security_group", each.id): {"description": each.description} for each in ours}

    def _work(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            made: list[Thing] = []
            with suppress(*_RETRIED):
                self._make(number, made)
            for kind, id_ in reversed(made):
                if number % _KEPT_EVERY or not kind.startswith("security_group"):
                    self._delete(kind, id_)

    def _make(self, number: int, made: list[Thing]) -> None:
        cloud = self._cloud.network

        def note(kind: str, thing: Any) -> str:
            made.append((kind, thing.id))
            self.ledger.made((kind, thing.id), {})
            self.count += 1
            return str(thing.id)

        group = note("security_group", cloud.create_security_group(name=f"{_NAME}{number}"))
        for protocol in ("tcp", "udp"):
            rule = {"security_group_id": group, "direction": "ingress", "protocol": protocol}
            note("security_group_rule", cloud.create_security_group_rule(**rule))
        here, *there = self._chance.sample([host.name for host in self._lab.layout.hosts], 2)
        more = {"network_id": self._network_id, "binding_host_id": here, "security_group_ids": [group]}
        port = note("port", cloud.create_port(name=f"{_NAME}{number}", device_owner="compute:nova", **more))
        if number % 3 == 0:
            outside = {"floating_network_id": self._outside_id, "description": _NAME}
            note("ip", cloud.create_ip(port_id=port, **outside))
        if number % 4 == 2:
            self._migrate(port, here, there[0])
        elif number % 4 == 0:
            with self._plugged(here, port):
                self._stop.wait(_PLUGGED_S)
        if number % 5 == 0:
            cloud.update_port(port, description=f"changed {number}")
            self.count += 1
        if number % _KEPT_EVERY == 0:
            cloud.update_security_group(group, description=_NAME)
            self.ledger.made(("security_group", group), {"description": _NAME})
            self.count += 1

    @contextmanager
    def _plugged(self, host: str, port_id: str) -> Iterator[None]:
        """The spare interface is the port's for a moment: flows of a local port come and go."""
        vsctl = self._lab.switch(host).vsctl
        vsctl("--no-wait", "set", "interface", _SPARE, f"external_ids:iface-id={port_id}")
        try:
            yield
        finally:
            vsctl("--no-wait", "remove", "interface", _SPARE, "external_ids", "iface-id")

    def _migrate(self, port_id: str, here: str, there: str) -> None:
        """As Nova does it, in its order."""
        session, bindings = self._cloud.session, f"{self._lab.layout.api_url}/v2.0/ports/{port_id}/bindings"
        with self._plugged(there, port_id):
            with self._plugged(here, port_id):
                self._stop.wait(_PLUGGED_S)
                session.post(bindings, json={"binding": {"host": there}})
                self._await_ready(port_id)
                session.put(f"{bindings}/{there}/activate")
            session.delete(f"{bindings}/{here}")
            self._stop.wait(_PLUGGED_S)
        self.count += 3
        self.migrations += 1

    def _await_ready(self, port_id: str) -> None:
        """Or until it has taken too long: then it goes without."""
        path = f"{self._lab.layout.api_url}/operations/v1/ports/{port_id}/readiness"
        ends = time.monotonic() + _READY_S
        while time.monotonic() < ends and not self._stop.is_set():
            if all(each["ready"] for each in self._cloud.session.get(path).json()["readiness"]["waiting_at"]):
                return
            time.sleep(0.05)

    def _delete(self, kind: str, id_: str) -> None:
        """A dead controller is asked again: what stayed would be taken for an orphan."""
        self.ledger.deleting((kind, id_))
        try:
            _tried(lambda: getattr(self._cloud.network, f"delete_{kind}")(id_))
        except ConflictException:
            if kind != "security_group":
                raise
            return  # A port uses it that was made, though nobody could say so: both are found in the end.
        self.ledger.deleted((kind, id_))
        self.count += 1


def _tried(what: Callable[[], T]) -> T:
    """Again, while nobody answers, or who does has lost the database."""
    for _ in range(_TRIES):
        try:
            return what()
        except ConflictException:
            raise
        except _RETRIED:
            time.sleep(0.25)
    return what()
