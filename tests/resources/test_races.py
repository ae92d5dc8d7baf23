"""Another writer was faster: the act starts over on what is true now, and gives up in the end without any harm done."""

from collections.abc import Mapping
from typing import Any

import pytest

from suimon.model.errors import BadRequest, Unavailable
from suimon.model.query import Query
from suimon.model.things import SecurityGroup, Subnet
from suimon.resources import addresses, security_groups
from suimon.resources.registry import RESOURCES
from suimon.store import Tx
from tests.resources.world import ALICE, World


@pytest.fixture
def subnet(world: World) -> Subnet:
    id_ = world.subnet(world.network())
    found = world.read(lambda tx: tx.get(Subnet, id_))
    assert found is not None
    return found


def test_a_free_range_that_is_no_longer_so(world: World, subnet: Subnet) -> None:
    with pytest.raises(Unavailable):
        world.write(lambda tx: addresses.take_next(tx, subnet, 1, first_range=(1, 9)))


def test_free_ranges_that_are_no_longer_so(world: World, subnet: Subnet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "_touching", lambda *_: [(167772165, 167772165)])
    with pytest.raises(Unavailable):
        world.write(lambda tx: addresses.take(tx, subnet, ["10.0.0.5"]))


def test_an_address_that_somebody_took_meanwhile(world: World, subnet: Subnet) -> None:
    port = world.port(subnet.network_id)["id"]
    with pytest.raises(Unavailable):
        world.write(lambda tx: addresses.record(tx, [(subnet, "10.0.0.2", port)]))


def test_a_default_group_that_somebody_made_meanwhile(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made = world.write(lambda tx: security_groups.default_group(tx, "red"))
    select, blind = Tx.select, [True]

    def first_time_blind(tx: Tx, type_: Any, where: Mapping[str, object] | None = None, **more: Any) -> Any:
        if type_ is SecurityGroup and blind:
            blind.pop()
            return []
        return select(tx, type_, where, **more)

    monkeypatch.setattr(Tx, "select", first_time_blind)
    assert world.write(lambda tx: security_groups.default_group(tx, "red")).id == made.id
    assert not blind


def test_a_question_that_was_not_checked(world: World) -> None:
    for name in ("nosuch", "fixed_ip_address"):
        with pytest.raises(BadRequest, match="invalid attribute for filtering"):
            world.read(lambda tx, name=name: RESOURCES["ports"].list(tx, ALICE, Query(filters={name: ["1"]})))


def test_a_project_is_prepared_once(world: World) -> None:
    groups = RESOURCES["security-groups"]
    assert groups.unprepared
    assert groups.prepare
    assert world.read(lambda tx: groups.unprepared(tx, ALICE, Query()))  # type: ignore[misc]
    world.write(lambda tx: groups.prepare(tx, ALICE, Query()))  # type: ignore[misc]
    assert not world.read(lambda tx: groups.unprepared(tx, ALICE, Query()))  # type: ignore[misc]
    assert [group["name"] for group in world.list("security-groups")] == ["default"]
