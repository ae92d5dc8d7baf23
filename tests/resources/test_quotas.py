"""Quotas: what is counted, what is refused, who may set them."""

import random
from typing import Any

import pytest

from suimon.model.actor import Actor
from suimon.model.errors import CallerError
from suimon.model.settings import Settings
from suimon.model.specs.quotas import COUNTED, DEFAULTS
from suimon.model.things import Quota, Thing
from suimon.resources.quotas import limit_of
from suimon.resources.registry import RESOURCES
from suimon.resources.resource import Asked
from suimon.store import Tx
from tests.resources.world import ADMIN, ALICE, ANN, BOB, World, refused

MARY = Actor("mary", "red", frozenset({"manager"}))


def ask(world: World, view: str, *ids: str, by: Actor = ADMIN, body: Any = None) -> Any:
    return world.write(lambda tx: RESOURCES["quotas"].views[view].act(tx, by, Asked(ids=ids, body=body)), by)


def put(world: World, project: str = "red", by: Actor = ADMIN, **quota: Any) -> Any:
    return ask(world, "PUT {}", project, by=by, body={"quota": quota})["quota"]


def used(world: World, project: str = "red") -> dict[str, int]:
    details = ask(world, "GET {}/details", project)["quota"]
    assert all(one["reserved"] == 0 for one in details.values())
    return {name: one["used"] for name, one in details.items() if one["used"]}


def test_everybody_has_the_defaults(world: World) -> None:
    for view in ("GET {}", "GET {}/default"):
        assert ask(world, view, "red", by=ALICE) == {"quota": DEFAULTS}
    assert ask(world, "GET {}/details", "red", by=ALICE)["quota"]["port"] == {"limit": 500, "used": 0, "reserved": 0}
    assert ask(world, "GET ") == {"quotas": []}
    assert ask(world, "GET project", by=ALICE) == {"project": {"project_id": "red"}}
    assert ask(world, "GET tenant", by=ALICE) == {"tenant": {"tenant_id": "red"}}


def test_an_operator_sets_and_resets(world: World) -> None:
    assert put(world, network=5, port="7", check_limit=True) == {**DEFAULTS, "network": 5, "port": 7}
    assert put(world, network=-1)["network"] == -1
    assert ask(world, "GET {}", "red")["quota"]["port"] == 7
    assert ask(world, "GET {}/default", "red")["quota"]["port"] == 500
    own = {**DEFAULTS, "network": -1, "port": 7, "project_id": "red", "tenant_id": "red"}
    assert ask(world, "GET ") == {"quotas": [own]}
    assert world.read(lambda tx: limit_of(tx, "red", "port")) == 7
    ask(world, "DELETE {}", "red")
    assert ask(world, "GET ") == {"quotas": []}
    assert world.read(lambda tx: limit_of(tx, "red", "port")) == 500
    with refused("TenantQuotaNotFound", "Quota for project red could not be found."):
        ask(world, "DELETE {}", "red")


def test_what_is_used_stays_known_when_a_limit_goes(world: World) -> None:
    world.network()
    put(world, network=3)
    ask(world, "DELETE {}", "red")
    assert used(world) == {"network": 1}


@pytest.mark.parametrize(
    ("quota", "kind", "words"),
    [
        ({"network": -2}, "HTTPBadRequest", "Invalid input for network. Reason: '-2' is too small - must be at least"),
        ({"network": 2**31}, "HTTPBadRequest", "Reason: '2147483648' is too large - must be no larger than"),
        ({"network": "x"}, "InvalidInput", "'x' is not an integer."),
        ({"nosuch": 1}, "HTTPBadRequest", "Unrecognized attribute(s) 'nosuch'"),
    ],
)
def test_impossible_quotas(world: World, quota: Any, kind: str, words: str) -> None:
    with refused(kind, words):
        put(world, **quota)
    with refused("HTTPBadRequest", "Unable to find 'quota' in request body"):
        ask(world, "PUT {}", "red", body={"q": quota})
    with refused("HTTPBadRequest", "exceeds maximum length of 255."):
        put(world, "x" * 256, network=1)


def test_a_limit_below_what_is_used_has_to_be_forced(world: World) -> None:
    world.create_many("networks", [{}, {}])
    with refused("HTTPBadRequest", "Quota limit 1 for network must be greater than or equal to already used 2"):
        put(world, network=1)
    for force in ("true", 1):
        with refused("HTTPBadRequest"):
            put(world, network=1, force=force)
    assert put(world, network=1, force=True)["network"] == 1
    assert put(world, network=-1)["network"] == -1
    assert put(world, network=2)["network"] == 2


def test_who_may(world: World) -> None:
    for by, project in ((BOB, "red"), (ANN, "blue"), (MARY, "blue")):
        for view in ("GET {}", "GET {}/default"):
            with refused("PolicyNotAuthorized", "rule:get_quota is disallowed by policy"):
                ask(world, view, project, by=by)
        with refused("AdminRequired", "Only admin is authorized to access quotas for another project."):
            ask(world, "GET {}/details", project, by=by)
        with refused("PolicyNotAuthorized", "get_quota"):
            ask(world, "GET ", by=by)
    for by in (ALICE, MARY):
        with refused("PolicyNotAuthorized", "rule:update_quota is"):
            put(world, by=by, network=1)
        with refused("PolicyNotAuthorized", "rule:delete_quota is"):
            ask(world, "DELETE {}", "red", by=by)


def test_nobody_gets_more_than_his_quota(world: World) -> None:
    put(world, network=2, subnet=0)
    network = world.network()
    with refused("OverQuota", "Quota exceeded for resources: ['network']."):
        world.create_many("networks", [{}, {}])
    world.network()
    with refused("OverQuota"):
        world.network()
    with refused("OverQuota", "['subnet']"):
        world.subnet(network)
    world.network(BOB)
    world.network(ADMIN)
    with refused("OverQuota"):
        world.network(ADMIN, project_id="red")
    assert used(world) == {"network": 2}
    world.delete("networks", network)
    world.network()


def test_the_installation_says_what_is_usual() -> None:
    world = World(Settings(quotas={"network": 1}))
    try:
        world.network()
        with refused("OverQuota"):
            world.network()
        put(world, network=-1)
        world.network()
    finally:
        world.close()


def test_what_suimon_makes_by_itself_is_counted_and_not_refused(world: World) -> None:
    put(world, security_group=0, security_group_rule=0, port=0)
    router, network = world.router(), world.network()
    subnet = world.subnet(network)
    world.act(router, "add_router_interface", {"subnet_id": subnet})
    assert used(world)["port"] == 1
    with refused("OverQuota", "['port']"):
        world.port(network)
    put(world, port=2)
    world.port(network)
    assert (used(world)["security_group"], used(world)["security_group_rule"]) == (1, 4)


def test_a_group_comes_with_rules(world: World) -> None:
    world.create("security-groups", name="a")
    before = used(world)["security_group_rule"]
    put(world, security_group_rule=before + 1)
    with refused("OverQuota", "['security_group_rule']"):
        world.create("security-groups", name="b")
    group = world.list("security-groups", "name=a")[0]["id"]
    world.create("security-group-rules", security_group_id=group, direction="ingress")
    with refused("OverQuota"):
        world.create("security-group-rules", security_group_id=group, direction="ingress", ethertype="IPv6")


def counted(tx: Tx) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for type_, name in COUNTED.items():
        things: list[Any] = tx.select(type_)
        for thing in things:
            assert isinstance(thing, Thing)
            if thing.project_id:
                found[thing.project_id, name] = found.get((thing.project_id, name), 0) + 1
    return found


@pytest.mark.parametrize("seed", range(3))
def test_what_is_counted_is_what_is_there(world: World, seed: int) -> None:
    chance = random.Random(seed)
    outside = world.outside()
    put(world, port=6, network=4)
    paths = ("networks", "subnets", "ports", "security-groups", "security-group-rules", "routers", "floatingips")

    def something(path: str) -> str:
        return str(chance.choice(world.list(path, by=ADMIN))["id"])

    def make(path: str, by: Actor) -> None:
        body: dict[str, Any] = {"project_id": chance.choice(["red", "blue"])}
        match path:
            case "subnets":
                n = chance.randrange(200)
                body |= {"network_id": something("networks"), "cidr": f"10.{n}.0.0/24", "ip_version": 4}
            case "ports":
                body |= {"network_id": something("networks")}
            case "security-groups":
                body |= {"name": "g"}
            case "security-group-rules":
                body |= {"security_group_id": something("security-groups"), "direction": "ingress"}
                body |= {"port_range_min": chance.randrange(99), "port_range_max": 100, "protocol": "tcp"}
            case "routers":
                body |= {"external_gateway_info": {"network_id": outside}}
            case "floatingips":
                body |= {"floating_network_id": outside}
        world.create_many(path, [body] * chance.choice([1, 1, 3]), by)

    for _ in range(60):
        path, by = chance.choice(paths), ADMIN
        try:
            match chance.randrange(4):
                case 0:
                    world.delete(path, something(path), by)
                case 1:
                    world.act(something("routers"), "add_router_interface", {"subnet_id": something("subnets")}, by)
                case _:
                    make(path, by)
        except (CallerError, IndexError):
            pass
    stored = {(one.project_id, one.resource): one.used for one in world.read(lambda tx: tx.select(Quota)) if one.used}
    assert stored == world.read(counted)
    assert all(one >= 0 for one in stored.values())
    assert stored[("red", "network")] <= 4
