"""The promise: agents and controllers may die at any moment, in the middle of changes, and no packet is lost."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from keystoneauth1.exceptions import ClientException
from openstack.connection import Connection
from openstack.exceptions import SDKException

from suimon.lab.guests import Guest
from suimon.lab.lab import Lab
from suimon.lab.measure import Measure
from tests.system.clouds import connect, guest, network, two_hypervisors

KILLS = 20
CONTROL_S = 3
GUESTS = [("one", "hv1"), ("two", "hv1"), ("far", "hv2")]


@pytest.fixture
def lab() -> Iterator[Lab]:
    with two_hypervisors("kill") as lab:
        yield lab


def test_twenty_kills_during_churn_lose_no_packet(lab: Lab) -> None:
    kept = network(lab)
    one, two, far = (guest(lab, kept, name, host) for name, host in GUESTS)
    ways = [(one, two), (one, far)]

    assert lost(lab, ways, lambda: time.sleep(CONTROL_S)) == [0, 0], "inconclusive: it loses packets without kills"

    with churn(connect(lab), kept) as changes:
        assert lost(lab, ways, lambda: kill_by_turns(lab)) == [0, 0]
    assert len(changes) >= KILLS


def lost(lab: Lab, ways: list[tuple[Guest, Guest]], meanwhile: Callable[[], None]) -> list[int]:
    """Of 1,000 numbered UDP packets a second, how many each way lost while `meanwhile` was done."""
    measure = Measure(lab)
    with ExitStack() as stack:
        receivers = []
        senders = []
        for number, (source, target) in enumerate(ways):
            port = str(9000 + number)
            receiver = stack.enter_context(measure.probe(target.name, "receive", port, "--idle", "4"))
            receivers.append(receiver.ready())
            address = target.lease["ip"].split("/")[0]
            senders.append(stack.enter_context(measure.probe(source.name, "send", address, port, "--seconds", "300")))
        time.sleep(1)
        meanwhile()
        results = [sender.enough().result() for sender in senders]
        assert all(result["sent"] >= result["seconds"] * 900 for result in results)
        return [
            result["sent"] - receiver.enough().result()["received"]
            for result, receiver in zip(results, receivers, strict=True)
        ]


def kill_by_turns(lab: Lab) -> None:
    """Agent of hv1, controller, agent of hv2, controller …: each dies of SIGKILL, is started, and is back."""
    hosts = lab.layout.hosts
    for turn in range(KILLS):
        if turn % 2:
            lab.cloud.kill_controller()
            lab.cloud.start_controller()
        else:
            host = hosts[turn // 2 % 2]
            lab.cloud.kill_agent(host)
            lab.cloud.start_agent(host)
            lab.cloud.await_agent(host)


@contextlib.contextmanager
def churn(cloud: Connection, network_id: str) -> Iterator[list[str]]:
    """Ports and rules come and go all the while; yields what was acknowledged. A dead controller is asked again."""
    done: list[str] = []
    stop = threading.Event()
    # Each change leaves a group.
    cloud.network.update_quota(cloud.current_project_id, security_groups=-1)

    def change(number: int) -> None:
        group = cloud.network.create_security_group(name=f"churn{number}")
        cloud.network.create_security_group_rule(security_group_id=group.id, direction="ingress", protocol="tcp")
        host = f"hv{number % 2 + 1}"
        port = cloud.network.create_port(network_id=network_id, binding_host_id=host, security_group_ids=[group.id])
        done.append(port.id)
        cloud.network.delete_port(port.id)

    def work() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            with contextlib.suppress(SDKException, ClientException):
                change(number)
            stop.wait(0.1)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield done
    finally:
        stop.set()
        worker.join(timeout=60)
