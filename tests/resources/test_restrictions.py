"""Restrictions: who may make them of what, who sees what of them, and how they end."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from suimon.model.actor import Actor
from suimon.model.findings import Subject
from suimon.model.settings import Settings
from suimon.model.things import Port, Restriction
from suimon.resources import restrictions
from suimon.resources.incidents import list_incidents
from suimon.resources.places import place_of
from suimon.resources.registry import RESOURCES
from suimon.resources.restrictions import RESTRICTIONS, SPEC
from tests.resources.world import ADMIN, ALICE, ANN, BOB, NOBODY, Body, World, refused

BLOCK: Body = {"kind": "port_block", "protocol": "tcp", "port_min": 25, "reason": "mass mail"}
HIDDEN = ("finding_id", "evidence", "author", "author_kind", "released_by", "release_reason")
"""From tenants: who found out, how, and whom it concerns besides."""
DAY_S = 86_400
OUTSIDE = "192.0.2.99"


@pytest.fixture
def world() -> Iterator[World]:
    made = World(Settings(appeal="Write to abuse@cloud.example.", quarantine_allows=("192.0.2.1",)))
    yield made
    made.close()


def restrict(world: World, target_kind: str, target: str, by: Actor = ADMIN, **given: Any) -> Restriction:
    wanted = SPEC.for_create({**BLOCK, "target_kind": target_kind, "target": target, **given}, by)
    return world.write(lambda tx: restrictions.create_restrictions(tx, by, [wanted]), by)[0]


def of(kind: str, **values: Any) -> Body:
    return {"kind": kind, "protocol": None, "port_min": None, **values}


def shown(world: World, id_: str, by: Actor) -> Body:
    found = world.read(lambda tx: RESTRICTIONS.get(tx, by, id_))
    return msgspec.json.decode(msgspec.json.encode(SPEC.render(found, by)))


def test_a_tenant_sees_what_binds_him_and_whom_to_turn_to(world: World) -> None:
    port = world.port(world.network())["id"]
    made = restrict(world, "port", port, duration_s=DAY_S, finding_id="f1", evidence=["src 10.0.0.5 and port 25"])
    seen = shown(world, made.id, ALICE)
    assert (seen["target"], seen["port_min"], seen["port_max"], seen["state"]) == (port, 25, 25, "active")
    assert (seen["reason"], seen["appeal"]) == ("mass mail", "Write to abuse@cloud.example.")
    assert datetime.fromisoformat(seen["expires_at"]) - datetime.fromisoformat(seen["created_at"]) == timedelta(days=1)
    assert shown(world, made.id, ANN) == seen
    assert [name for name in HIDDEN if name in seen] == []
    assert shown(world, made.id, ADMIN)["evidence"] == ["src 10.0.0.5 and port 25"]
    with refused("RestrictionNotFound"):
        shown(world, made.id, BOB)
    with refused("RestrictionNotFound"):
        shown(world, made.id, Actor("who", "", frozenset({"reader"})))


def test_of_a_network_also_the_guests_on_it_see_it_and_of_an_outside_address_nobody(world: World) -> None:
    network = world.network(ADMIN, shared=True)
    of_network, outside = (
        restrict(world, "network", network),
        restrict(world, "outside_address", "203.0.113.9", **of("port_block")),
    )
    with refused("RestrictionNotFound"):
        shown(world, of_network.id, ALICE)
    world.port(network)
    assert shown(world, of_network.id, ALICE)["target"] == network
    for who in (BOB, Actor("who", "", frozenset({"reader"}))):
        for each in (of_network, outside):
            with refused("RestrictionNotFound"):
                shown(world, each.id, who)


def test_of_a_trunk_s_parent_also_the_owner_of_a_subport_sees_it(world: World) -> None:
    shared = world.network(ADMIN, shared=True)
    parent, sub = world.port(shared)["id"], world.port(shared, BOB)["id"]
    made, of_sub = restrict(world, "port", parent), restrict(world, "port", sub)
    given = {"port_id": sub, "segmentation_type": "vlan", "segmentation_id": 7}
    trunk = world.create("trunks", by=ADMIN, port_id=parent, sub_ports=[])["id"]
    with refused("RestrictionNotFound"):
        shown(world, made.id, BOB)
    act = RESOURCES["trunks"].actions["add_subports"]
    world.write(lambda tx: act(tx, ADMIN, trunk, {"sub_ports": [given]}))
    assert shown(world, made.id, BOB)["target"] == parent
    with refused("RestrictionNotFound"):
        shown(world, of_sub.id, ALICE)
    place = world.read(lambda tx: place_of(tx, Subject("port", parent)))
    assert (place.ports, place.port_ids, place.project_id) == (2, {parent, sub}, "red")
    assert world.read(lambda tx: place_of(tx, Subject("port", sub))).port_ids == {sub}
    assert place.trunks == frozenset(), "one limit is for all of it"
    whole = world.read(lambda tx: place_of(tx, Subject("network", shared)))
    assert whole.trunks == {parent}


@pytest.mark.parametrize("who", [ALICE, ANN, BOB, Actor("boss", "red", frozenset({"manager"}))])
def test_only_operators_make_and_release_them(world: World, who: Actor) -> None:
    port = world.port(world.network())["id"]
    with refused("PolicyNotAuthorized"):
        restrict(world, "port", port, by=who)
    made = restrict(world, "port", port)
    with refused("RestrictionNotFound" if who is BOB else "PolicyNotAuthorized"):
        world.write(lambda tx: restrictions.release(tx, who, made.id, "please"), who)
    with refused("PolicyNotAuthorized"):
        world.write(lambda tx: restrictions.release_all(tx, who, None, "please"), who)


def test_a_target_that_there_is_not_or_that_is_the_clouds_own_is_refused(world: World) -> None:
    network, router = world.network(), world.router()
    subnet = world.subnet(network)
    world.act(router, "add_router_interface", {"subnet_id": subnet})
    leg = world.list("ports", "device_owner=network:router_interface", ADMIN)[0]
    for kind, target, error in (
        ("port", NOBODY, "PortNotFound"),
        ("network", NOBODY, "NetworkNotFound"),
        ("project", NOBODY, "ProjectNotFound"),
        ("project", "", "ProjectNotFound"),
        ("address", "10.0.0.77", "AddressNotFound"),
        ("address", "10.0.0", "HTTPBadRequest"),
        ("port", leg["id"], "HTTPConflict"),
        ("address", leg["fixed_ips"][0]["ip_address"], "HTTPConflict"),
    ):
        with refused(error):
            restrict(world, kind, target)
    for kind in ("quarantine", "rate_limit"):
        with refused("HTTPBadRequest", "can be blocked"):
            restrict(world, "outside_address", "203.0.113.9", **of(kind))
    for inside in ("10.0.0.77", "127.0.0.1", "224.0.0.5", "x"):
        with refused("HTTPBadRequest"):
            restrict(world, "outside_address", inside, **of("port_block"))


@pytest.mark.parametrize("owner", ["network:dhcp", "neutron:x"])
def test_that_a_port_is_the_clouds_own_is_not_for_its_tenant_to_say(world: World, owner: str) -> None:
    """He may write it, as in Neutron; it means something from operators and services, until he writes anew."""
    network = world.network()
    world.subnet(network)
    called, made = world.port(network), world.port(network, device_owner=owner)
    assert world.update("ports", called["id"], {"device_owner": owner})["device_owner"] == owner
    for port in (called, made):
        restrict(world, "port", port["id"])
        restrict(world, "address", port["fixed_ips"][0]["ip_address"])
    nova = Actor("nova", "services", frozenset({"service"}))
    for who in (ADMIN, nova):
        theirs = world.port(network, who, device_owner=owner)["id"]
        world.update("ports", called["id"], {"device_owner": "compute:x"}, who)
        world.update("ports", called["id"], {"device_owner": owner}, who)
        for port_id in (theirs, called["id"]):
            world.update("ports", port_id, {"device_owner": owner}, ADMIN)
            with refused("HTTPConflict", "cloud's own"):
                restrict(world, "port", port_id)
    world.update("ports", called["id"], {"device_owner": f"{owner}2"})
    restrict(world, "port", called["id"])


def test_a_port_of_the_cloud_in_a_trunk_is_a_guests(world: World) -> None:
    world.host("h1")
    parent, sub = world.port(world.network())["id"], world.port(world.network(), ADMIN, device_owner="network:x")["id"]
    world.write(lambda tx: tx.change(tx.get(Port, sub), project_id="red"))
    given = {"port_id": sub, "segmentation_type": "vlan", "segmentation_id": 7}
    world.create("trunks", port_id=parent, sub_ports=[given])
    with refused("HTTPConflict", "cloud's own"):
        restrict(world, "port", sub)
    world.update("ports", parent, {"binding:host_id": "h1"}, ADMIN)
    restrict(world, "port", sub)


def test_an_address_is_of_the_project_that_has_it(world: World) -> None:
    network = world.network()
    world.subnet(network)
    port = world.port(network)
    address = port["fixed_ips"][0]["ip_address"]
    made = restrict(world, "address", address)
    assert (made.project_id, made.target) == ("red", address)
    floating = world.create("floatingips", floating_network_id=world.outside())["floating_ip_address"]
    assert restrict(world, "address", floating).project_id == "red"
    with refused("HTTPBadRequest", "not one outside"):
        restrict(world, "outside_address", floating, **of("port_block"))
    other = world.network(BOB)
    world.subnet(other, by=BOB)
    world.port(other, BOB, fixed_ips=[{"ip_address": address}])
    with refused("HTTPConflict", "name the port"):
        restrict(world, "address", address)


def _floating(world: World) -> None:
    world.create("floatingips", floating_network_id=world.outside(), floating_ip_address=OUTSIDE, by=ADMIN)


def _gateway(world: World) -> None:
    told = {"network_id": world.outside(), "external_fixed_ips": [{"ip_address": OUTSIDE}]}
    world.create("routers", external_gateway_info=told, by=ADMIN)


def _of_a_shared_pool(world: World) -> None:
    made = world.create("subnetpools", name="p", prefixes=["192.0.2.0/24"], by=ADMIN, shared=True)["id"]
    network = world.network()
    world.create("subnets", network_id=network, ip_version=4, cidr="192.0.2.0/24", subnetpool_id=made)
    world.port(network, fixed_ips=[{"ip_address": OUTSIDE}])


def _changed_to(world: World) -> None:
    port = world.port(world.outside(shared=True))
    world.update("ports", port["id"], {"fixed_ips": [{"ip_address": OUTSIDE}]}, ADMIN)


def _of_a_tenants_own(world: World) -> None:
    network = world.network()
    world.subnet(network, "192.0.2.0/24")
    world.port(network, fixed_ips=[{"ip_address": OUTSIDE}])


def _routed_by_an_address_scope(world: World) -> None:
    scope = world.create("address-scopes", name="s", ip_version=4, by=ADMIN)["id"]
    pools = [
        world.create("subnetpools", name="p", prefixes=[cidr], address_scope_id=scope, by=ADMIN)["id"]
        for cidr in ("192.0.2.0/24", "198.18.0.0/24")
    ]
    outer = world.network(ADMIN, **{"router:external": True})
    world.create("subnets", network_id=outer, ip_version=4, cidr="198.18.0.0/24", subnetpool_id=pools[1], by=ADMIN)
    network = world.network(ADMIN)
    world.create("subnets", network_id=network, ip_version=4, cidr="192.0.2.0/24", subnetpool_id=pools[0], by=ADMIN)
    world.port(network, ADMIN, fixed_ips=[{"ip_address": OUTSIDE}])


def _of_a_tenants_own_pool(world: World) -> None:
    made = world.create("subnetpools", name="p", prefixes=["192.0.2.0/24"])["id"]
    network = world.network()
    world.create("subnets", network_id=network, ip_version=4, cidr="192.0.2.0/24", subnetpool_id=made)
    world.port(network, fixed_ips=[{"ip_address": OUTSIDE}])


@pytest.mark.parametrize("give", [_floating, _gateway, _of_a_shared_pool, _changed_to, _routed_by_an_address_scope])
def test_an_outside_address_that_the_cloud_hands_out_is_released_and_told(
    world: World, give: Callable[[World], None]
) -> None:
    made = restrict(world, "outside_address", OUTSIDE, **of("port_block"))
    other = restrict(world, "outside_address", "203.0.113.9", **of("port_block"))
    give(world)
    seen = shown(world, made.id, ADMIN)
    assert (seen["state"], seen["released_by"]) == ("released", "suimon")
    assert OUTSIDE in seen["release_reason"]
    assert shown(world, other.id, ADMIN)["state"] == "active"
    (alarm,) = world.read(lambda tx: list_incidents(tx, ADMIN))
    assert (alarm.mode, alarm.subject_kind, alarm.subject_id, alarm.project_id) == ("alarm", "address", OUTSIDE, None)


@pytest.mark.parametrize("give", [_of_a_tenants_own, _of_a_tenants_own_pool])
def test_no_tenant_lifts_one_by_numbering_his_own_network_so(world: World, give: Callable[[World], None]) -> None:
    made = restrict(world, "outside_address", OUTSIDE, **of("port_block"))
    give(world)
    assert shown(world, made.id, ADMIN)["state"] == "active"
    again = restrict(world, "outside_address", OUTSIDE, **of("port_block"))
    assert again.state == "active", "nor shields him who is outside there"


@pytest.mark.parametrize("give", [_floating, _gateway, _of_a_shared_pool, _changed_to, _routed_by_an_address_scope])
def test_what_the_cloud_hands_out_is_not_outside(world: World, give: Callable[[World], None]) -> None:
    give(world)
    with refused("HTTPBadRequest", "of the cloud"):
        restrict(world, "outside_address", OUTSIDE, **of("port_block"))


@pytest.mark.parametrize(
    ("cidr", "inside"),
    [("10.9.0.0/24", "10.9.0.77"), ("100.64.0.0/24", "100.64.0.7"), ("fd00::/64", "fd00::7"), ("8.8.8.0/24", None)],
)
def test_a_private_address_is_nobodys_outside_where_a_tenant_has_its_range(
    world: World, cidr: str, inside: str | None
) -> None:
    world.subnet(world.network(), cidr)
    if inside is None:
        assert restrict(world, "outside_address", "8.8.8.8", **of("port_block")).state == "active"
        return
    with refused("HTTPBadRequest", "inside of the cloud"):
        restrict(world, "outside_address", inside, **of("port_block"))


@pytest.mark.parametrize(
    "given",
    [
        of("rate_limit"),
        of("rate_limit", rate_kbps=0),
        of("rate_limit", rate_kbps=100, rate_kpps=1),
        of("packet_rate_limit", rate_kbps=100),
        of("port_block"),
        of("port_block", protocol="tcp"),
        of("port_block", protocol="icmp", port_min=1),
        of("port_block", protocol="tcp", port_min=26, port_max=25),
        of("quarantine", direction="egress"),
        of("quarantine", port_min=25),
        of("prison"),
        {"reason": "  "},
        {"duration_s": 0},
        {"evidence": ["x"] * 51},
        {"author": "somebody"},
        {"allowed": ["0.0.0.0/0"]},
    ],
)
def test_values_that_do_not_go_together_are_refused(world: World, given: Body) -> None:
    port = world.port(world.network())["id"]
    with refused("HTTPBadRequest"):
        restrict(world, "port", port, **given)


def test_what_a_rule_does_has_an_end(world: World) -> None:
    port = world.port(world.network())["id"]
    by_rule = SPEC.for_create({**BLOCK, "target_kind": "port", "target": port}, ADMIN)
    by_rule |= {"author": "no-mass-mail", "author_kind": "rule"}
    with refused("HTTPBadRequest", "duration_s"):
        world.write(lambda tx: restrictions.create_restrictions(tx, ADMIN, [by_rule]))
    by_rule["duration_s"] = 60
    made = world.write(lambda tx: restrictions.create_restrictions(tx, ADMIN, [by_rule]))[0]
    assert (made.author, made.author_kind) == ("no-mass-mail", "rule")


def test_one_target_has_a_bounded_number_of_them(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restrictions, "MOST_OF_TARGET", 2)
    port = world.port(world.network())["id"]
    first = restrict(world, "port", port)
    restrict(world, "port", port)
    with refused("HTTPConflict"):
        restrict(world, "port", port)
    world.write(lambda tx: restrictions.release(tx, ADMIN, first.id, "make room"))
    restrict(world, "port", port)


def test_a_release_is_once_and_says_who_and_why(world: World) -> None:
    made = restrict(world, "port", world.port(world.network())["id"])
    for why in ("mended", "again"):
        world.write(lambda tx, why=why: restrictions.release(tx, ADMIN, made.id, why))
    seen = shown(world, made.id, ADMIN)
    assert (seen["state"], seen["released_by"], seen["release_reason"]) == ("released", "root", "mended")


def test_all_that_were_made_since_are_released_at_once(world: World) -> None:
    port = world.port(world.network())["id"]
    old = restrict(world, "port", port)
    world.clock_ahead(timedelta(hours=3))
    new = [restrict(world, "port", port).id for _ in range(2)]
    since = datetime.now(UTC) + timedelta(hours=1)
    released = world.write(lambda tx: restrictions.release_all(tx, ADMIN, since, "the rule was wrong"))
    assert {each.id for each in released} == set(new)
    assert shown(world, old.id, ADMIN)["state"] == "active"
    assert len(world.write(lambda tx: restrictions.release_all(tx, ADMIN, None, "all"))) == 1


def test_what_is_over_expires_and_is_forgotten_long_after(world: World) -> None:
    port = world.port(world.network())["id"]
    day, forever = restrict(world, "port", port, duration_s=DAY_S), restrict(world, "port", port)
    world.clock_ahead(timedelta(seconds=DAY_S - 60))
    assert not world.read(restrictions.due)
    assert world.write(restrictions.expire) == []
    world.clock_ahead(timedelta(seconds=61))
    assert world.read(restrictions.due)
    assert [each.id for each in world.write(restrictions.expire)] == [day.id]
    assert [shown(world, each.id, ALICE)["state"] for each in (day, forever)] == ["expired", "active"]
    assert not world.read(restrictions.due)
    now = datetime.now(UTC) + timedelta(days=2)
    assert world.write(lambda tx: restrictions.forget(tx, now - timedelta(days=7))) == 0
    assert world.write(lambda tx: restrictions.forget(tx, now)) == 1
    assert shown(world, forever.id, ADMIN)["state"] == "active"


def test_what_expired_may_be_prolonged_and_what_was_released_not(world: World) -> None:
    port = world.port(world.network())["id"]
    made = restrict(world, "port", port, duration_s=60)
    until = made.created_at + timedelta(days=1)
    world.clock_ahead(timedelta(seconds=61))
    world.write(restrictions.expire)
    again = world.write(lambda tx: restrictions.prolong(tx, ADMIN, made.id, until))
    assert (again.state, again.expires_at, again.released_at) == ("active", until, None)
    world.write(lambda tx: restrictions.release(tx, ADMIN, made.id, "mended"))
    with refused("HTTPConflict", "released"):
        world.write(lambda tx: restrictions.prolong(tx, ADMIN, made.id, until))
