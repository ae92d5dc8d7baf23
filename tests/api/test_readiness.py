"""Why a port is not ready: every reason, in order."""

from datetime import UTC, datetime
from typing import Any

import pytest

from suimon.api.operations.readiness import Facts, reasons
from suimon.distribution.presence import HostState
from suimon.model import view
from suimon.model.actor import SYSTEM
from suimon.model.things import Host, Network, Port, PortBinding
from tests.api.cloud import Cloud

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EVERY_THING: dict[str, Any] = {"project_id": "p", "created_at": NOW, "updated_at": NOW}
PORT: dict[str, Any] = {"network_id": "n", "mac_address": "02:00:00:00:00:01", "binding_host": "h1", "status": "ACTIVE"}
UP: dict[str, Any] = {"host": "h1", "up": True, "revision": 9, "reported_at": NOW}


@pytest.mark.parametrize(
    "port, host, state, wanted, expected",
    [
        ({}, "h1", {}, 9, []),
        ({}, "h1", {}, None, []),
        ({"admin_state_up": False}, "h1", {}, 9, ["port_down"]),
        ({"binding_host": "", "status": "DOWN"}, "", {}, None, ["unbound"]),
        ({"status": "DOWN"}, "", {}, 9, ["host_unknown"]),
        ({"status": "DOWN", "status_reason": "no interface"}, "h1", {}, 9, ["host_says: no interface"]),
        ({}, "h1", {"up": False}, 9, ["host_down"]),
        ({}, "h1", {"held": "too much"}, 9, ["held"]),
        ({}, "h1", {"failures": {"port/p1": "bad match", "port/p2": "bad"}}, 9, ["refused"]),
        ({}, "h1", {}, 10, ["behind"]),
        ({"device_owner": "network:router_interface", "status": "DOWN"}, "h1", {}, 9, ["not_plugged"]),
        (
            {"admin_state_up": False, "status": "DOWN"},
            "h1",
            {"up": False, "held": "x"},
            10,
            ["port_down", "host_down", "held", "behind", "host_says"],
        ),
    ],
)
def test_every_reason_in_order(
    port: dict[str, Any], host: str, state: dict[str, Any], wanted: int | None, expected: list[str]
) -> None:
    known = Host(name=host, tunnel_ip=None, joined_at=NOW, schema=view.SCHEMA) if host else None
    facts = Facts(
        Port(id="p1", **EVERY_THING, **PORT | port), Network(id="n", name="", **EVERY_THING), known, "", wanted
    )
    found = list(reasons(facts, HostState(**UP | state)))
    assert [each.code for each in found] == [each.partition(":")[0] for each in expected]
    assert all(each.partition(": ")[2] in told.words for each, told in zip(expected, found, strict=True))


def test_an_older_agent_and_a_network_that_is_down() -> None:
    host = Host(name="h1", tunnel_ip=None, joined_at=NOW, schema=view.SCHEMA - 1)
    network = Network(id="n", name="", admin_state_up=False, **EVERY_THING)
    found = reasons(Facts(Port(id="p1", **EVERY_THING, **PORT), network, host, "", None), HostState(**UP))
    assert [each.code for each in found] == ["network_down", "older_agent"]


def test_the_call_tells_an_owner_no_host(cloud: Cloud) -> None:
    anna = cloud.account("anna")
    network = cloud.call("POST", "/v2.0/networks", {"network": {}}, anna.token).json["network"]["id"]
    port = cloud.call("POST", "/v2.0/ports", {"port": {"network_id": network}}, anna.token).json["port"]["id"]
    cloud.call("PUT", f"/v2.0/ports/{port}", {"port": {"binding:host_id": "secret-host"}}, cloud.admin.token)
    path = f"/operations/v1/ports/{port}/readiness"
    told = cloud.call("GET", path, token=anna.token)
    assert [each["reason"] for each in told.json["readiness"]["reasons"]] == ["host_unknown"]
    assert b"secret-host" not in told.body
    assert b"secret-host" in cloud.call("GET", path, token=cloud.admin.token).body
    assert cloud.call("GET", "/operations/v1/ports/no-such-port/readiness", token=anna.token).status == 404


def test_where_a_guest_is_to_come_is_ready_when_its_newest_change_is_in_force_there(cloud: Cloud) -> None:
    network = cloud.call("POST", "/v2.0/networks", {"network": {}}, cloud.admin.token).json["network"]["id"]
    body = {"port": {"network_id": network, "binding:host_id": "h1"}}
    port = cloud.call("POST", "/v2.0/ports", body, cloud.admin.token).json["port"]["id"]
    host = Host(name="h1", tunnel_ip=None, joined_at=NOW)
    cloud.run(cloud.store.write(lambda tx: tx.insert(host), SYSTEM))
    waiting = PortBinding(id="b1", **EVERY_THING, port_id=port, host="h2")
    cloud.run(cloud.store.write(lambda tx: tx.insert(waiting), SYSTEM))
    bound = cloud.store.position()[2]

    def ready(**state: Any) -> bool:
        cloud.states["h2"] = HostState(**UP | {"host": "h2", "revision": cloud.store.position()[2]} | state)
        (told,) = cloud.call("GET", path, token=cloud.admin.token).json["readiness"]["waiting_at"]
        assert told["host"] == "h2"
        return bool(told["ready"])

    path = f"/operations/v1/ports/{port}/readiness"
    assert ready() and not ready(revision=bound - 1)
    assert not ready(up=False) and not ready(held="too much") and not ready(failures={f"port/{port}": "bad match"})
    cloud.call("PUT", f"/v2.0/ports/{port}", {"port": {"name": "new"}}, cloud.admin.token)
    assert ready() and not ready(revision=bound), "it is told what the active host is told"
