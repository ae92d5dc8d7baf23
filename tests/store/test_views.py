"""The views answer the questions of docs/guide/database.md, and can't be written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from suimon.store.views import VIEWS
from tests.resources.world import ADMIN, World

GUIDE = Path(__file__).parents[2] / "docs/guide/database.md"
BLOCKS = re.findall(r"```sql\n(.*?)```", GUIDE.read_text(), re.DOTALL)
QUESTIONS = [" ".join(question.split()) for block in BLOCKS for question in block.split(";") if question.strip()]
ON_COMPUTE1 = {"binding:host_id": "compute1"}
VLAN_7 = {"provider:network_type": "vlan", "provider:physical_network": "physnet1", "provider:segmentation_id": 7}


@pytest.fixture
def world(store_url: str) -> Iterator[World]:
    """A host, a guest behind a floating IP, and a port that isn't anywhere."""
    world = World(url=store_url)
    world.host("compute1")
    network = world.network(name="blue")
    outside = world.outside(name="outside")
    door = world.router(name="door", external_gateway_info={"network_id": outside})
    world.act(door, "add_router_interface", {"subnet_id": world.subnet(network)})
    ssh = world.create("security-groups", name="ssh")["id"]
    rule = {"security_group_id": ssh, "direction": "ingress", "protocol": "tcp"}
    world.create("security-group-rules", **rule, port_range_min=22, port_range_max=22)
    web = world.port(network, ADMIN, project_id="red", name="web", security_groups=[ssh], **ON_COMPUTE1)
    world.port(network, name="idle", fixed_ips=[])
    world.create("floatingips", floating_network_id=outside, port_id=web["id"])
    world.create("floatingips", floating_network_id=outside)
    world.create("networks", by=ADMIN, name="wire", **VLAN_7)
    yield world
    world.close()


def ask(world: World, question: str) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in world.read(lambda tx: tx.rows(text(question), {}))]


def test_each_question_of_the_guide_has_an_answer(world: World) -> None:
    assert len(QUESTIONS) >= 10
    for question in QUESTIONS:
        assert ask(world, question), question


def test_the_guide_names_all_views(world: World) -> None:
    assert re.findall(r"^\| `(v_\w+)` \|", GUIDE.read_text(), re.MULTILINE) == list(VIEWS)


def test_what_the_views_say(world: World) -> None:
    (port,) = ask(world, "SELECT * FROM v_ports WHERE port = 'web'")
    wanted = {
        "network": "blue",
        "addresses": "10.0.0.2",
        "security_groups": "ssh",
        "host": "compute1",
        "status": "DOWN",
    }
    assert {name: port[name] for name in wanted} == wanted
    (held,) = ask(world, "SELECT * FROM v_addresses WHERE address = '10.0.0.2'")
    assert (held["port"], held["subnet"], held["port_id"]) == ("web", "10.0.0.0/24", port["id"])
    used, free = ask(world, "SELECT * FROM v_floating_ips ORDER BY leads_to IS NULL")
    assert (used["leads_to"], used["port"], used["router"], free["leads_to"]) == ("10.0.0.2", "web", "door", None)
    (router,) = ask(world, "SELECT * FROM v_routers")
    assert (router["networks"], router["gateway_network"]) == ("blue", "outside")
    (host,) = ask(world, "SELECT * FROM v_hosts")
    assert (host["ports"], host["active_ports"]) == (1, 0)
    (wire,) = ask(world, "SELECT * FROM v_networks WHERE kind = 'vlan'")
    assert (wire["network"], wire["segment"], wire["subnets"], wire["ports"]) == ("wire", 7, None, 0)
    (open_,) = ask(world, "SELECT * FROM v_security_group_rules WHERE protocol = 'tcp'")
    assert (open_["security_group"], open_["first_port"], open_["ports_in_group"]) == ("ssh", 22, 1)
    revisions = [row["revision"] for row in ask(world, "SELECT * FROM v_changes ORDER BY revision")]
    assert set(revisions) == set(range(1, world.store.position()[2] + 1))


def test_no_view_shows_a_secret(world: World) -> None:
    for name in VIEWS:
        columns = set(ask(world, f"SELECT * FROM {name} LIMIT 1")[0])
        assert not {column for column in columns if re.search("hash|secret|password|credential|token", column)}


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_can_not_be_written(world: World, name: str) -> None:
    with pytest.raises(Exception, match=r"view|cannot delete"):
        world.write(lambda tx: tx.run(text(f"DELETE FROM {name}"), {}))
