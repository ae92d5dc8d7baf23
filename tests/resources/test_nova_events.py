"""What Nova is owed, from what it was told and what there is."""

from typing import Any

import pytest

from suimon.model import view
from suimon.model.things import NovaPort
from suimon.resources import nova_events
from suimon.resources.hosts import set_port_status
from suimon.resources.nova_events import CHANGED, DELETED, PLUGGED, UNPLUGGED
from tests.resources.world import ADMIN, World

SERVER = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"


class Told(World):
    """A cloud, and a Nova that hears what it is owed whenever it is asked."""

    def __init__(self) -> None:
        super().__init__()
        for host in ("h1", "h2"):
            self.host(host)
        self.net = self.network(ADMIN, project_id="red")
        self.subnet(self.net)
        self.at = self.write(nova_events.begin)

    def vif(self, server: str = SERVER, owner: str = "compute:nova", host: str = "h1") -> str:
        body = {"device_owner": owner, "device_id": server, "binding:host_id": host}
        return str(self.port(self.net, ADMIN, project_id="red", **body)["id"])

    def status(self, port: str, *words: str, host: str = "h1") -> None:
        for word in words:
            report = view.PortReport(port, word)  # type: ignore[arg-type]
            self.write(lambda tx, report=report: set_port_status(tx, host, [report]))

    def hears(self, *, restless: bool = True, everything: bool = False) -> list[tuple[str, str]]:
        """Event and server of what is owed, which is settled by that."""
        at = 10**9 if everything else self.at
        owed = self.read(lambda tx: nova_events.owed(tx, at, restless=restless))
        self.write(lambda tx: nova_events.settle(tx, owed.notices, owed.revision))
        self.at = owed.revision
        assert self.write(nova_events.begin) == owed.revision
        return [(event.name, event.server_uuid) for notice in owed.notices for event in notice.events]


@pytest.fixture
def told() -> Any:
    made = Told()
    yield made
    made.close()


def test_up_and_down(told: Told) -> None:
    port = told.vif()
    assert told.hears() == []
    told.status(port, "ACTIVE")
    assert told.hears() == [(PLUGGED, SERVER)]
    assert told.hears() == []
    told.status(port, "DOWN")
    assert told.hears() == [(UNPLUGGED, SERVER)]


def test_another_host_plugs_again(told: Told) -> None:
    port = told.vif()
    told.status(port, "ACTIVE")
    told.hears()
    told.update("ports", port, {"binding:host_id": "h2"}, ADMIN)
    told.status(port, "ACTIVE", host="h2")
    assert told.hears(restless=False) == [(PLUGGED, SERVER)]


def test_a_port_that_may_have_been_down_is_told_again(told: Told) -> None:
    port = told.vif()
    told.status(port, "ACTIVE")
    told.hears()
    told.status(port, "DOWN", "ACTIVE")
    assert told.hears() == [(PLUGGED, SERVER)]
    told.status(port, "DOWN", "ACTIVE")
    assert told.hears(restless=False) == []
    told.update("ports", port, {"name": "x"}, ADMIN)
    assert told.hears() == []


def test_another_instance(told: Told) -> None:
    port = told.vif()
    told.status(port, "ACTIVE")
    told.hears()
    told.update("ports", port, {"device_id": OTHER}, ADMIN)
    assert told.hears() == [(UNPLUGGED, SERVER), (PLUGGED, OTHER)]
    told.update("ports", port, {"device_id": "", "device_owner": ""}, ADMIN)
    assert told.hears(everything=True) == [(UNPLUGGED, OTHER)]
    assert told.read(lambda tx: tx.select(NovaPort)) == []


@pytest.mark.parametrize(("server", "owner"), [("vm", "compute:nova"), ("", "compute:nova"), (SERVER, "manila:share")])
def test_what_is_no_instances(told: Told, server: str, owner: str) -> None:
    port = told.vif(server, owner)
    told.status(port, "ACTIVE")
    told.delete("ports", port, ADMIN)
    assert told.hears() == []
    assert told.hears(everything=True) == []


def test_addresses(told: Told) -> None:
    port = told.vif()
    subnet = told.get("networks", told.net)["subnets"][0]
    outside = told.outside()
    router = told.router(external_gateway_info={"network_id": outside})
    told.act(router, "add_router_interface", {"subnet_id": subnet})
    told.hears()
    floating = told.create("floatingips", floating_network_id=outside, port_id=port, project_id="red", by=ADMIN)["id"]
    assert told.hears() == [(CHANGED, SERVER)]
    told.update("floatingips", floating, {"port_id": None}, ADMIN)
    assert told.hears() == [(CHANGED, SERVER)]
    told.update("ports", port, {"fixed_ips": [{"ip_address": "10.0.0.99"}]}, ADMIN)
    assert told.hears() == [(CHANGED, SERVER)]
    told.update("ports", port, {"allowed_address_pairs": [{"ip_address": "1.1.1.1"}]}, ADMIN)
    assert told.hears() == []


def test_a_log_that_does_not_reach_back(told: Told) -> None:
    gone, stays = told.vif(), told.vif(OTHER)
    told.status(gone, "ACTIVE")
    told.hears()
    told.delete("ports", gone, ADMIN)
    told.status(stays, "ACTIVE")
    assert sorted(told.hears(everything=True)) == sorted([(DELETED, SERVER), (PLUGGED, OTHER)])
    assert told.hears(everything=True) == []


def test_many_ports_are_read_at_once(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nova_events, "_MANY", 1)
    ports = [told.vif() for _ in range(3)]
    for port in ports:
        told.status(port, "ACTIVE")
    assert told.hears() == [(PLUGGED, SERVER)] * 3
    for port in ports:
        told.status(port, "DOWN")
    assert told.hears() == [(UNPLUGGED, SERVER)] * 3


def test_statements_do_not_grow_with_the_ports(told: Told) -> None:
    counts = []
    for size in (1, 5):
        for port in [told.vif() for _ in range(size)]:
            told.status(port, "ACTIVE")
        seen: list[str] = []
        told.store.trace(seen.append)
        assert told.hears() == [(PLUGGED, SERVER)] * size
        told.store.trace(None)
        counts.append(len(seen))
    assert counts[0] == counts[1]
