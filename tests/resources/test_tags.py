"""Tags: what is below each thing that has them, and lists by them."""

from typing import Any

import pytest

from suimon.model.actor import Actor
from suimon.resources.registry import RESOURCES
from suimon.resources.resource import Asked
from tests.resources.world import ADMIN, ALICE, ANN, BOB, NOBODY, World, refused

OWN = "operator:exempt"
TAGGED = {path for path, kind in RESOURCES.items() if "PUT {}/tags" in kind.views}


def ask(
    world: World,
    view: str,
    *ids: str,
    tags: Any = None,
    by: Actor = ALICE,
    path: str = "networks",
    revision: Any = None,
) -> Any:
    asked = Asked(ids=ids, body=None if tags is None else {"tags": tags}, expected=revision)
    return world.write(lambda tx: RESOURCES[path].views[view].act(tx, by, asked), by)


@pytest.fixture
def network(world: World) -> str:
    return world.network(name="n")


def tags_of(world: World, network: str) -> list[str]:
    shown = world.get("networks", network)["tags"]
    assert shown == ask(world, "GET {}/tags", network)["tags"]
    return list(shown)


def test_every_kind_of_neutrons_has_them() -> None:
    assert {"networks", "subnets", "ports", "routers", "floatingips", "security-groups", "qos/policies"} <= TAGGED
    assert "PUT {}/tags/{}" in RESOURCES["policies"].views
    assert "PUT {}/tags/{}" not in RESOURCES["security-group-rules"].views


def test_tags_are_set_added_and_taken_away(world: World, network: str) -> None:
    assert tags_of(world, network) == []
    assert ask(world, "PUT {}/tags", network, tags=["red", "blue"]) == {"tags": ["red", "blue"]}
    assert tags_of(world, network) == ["blue", "red"]
    assert ask(world, "PUT {}/tags/{}", network, "a.b") is None
    assert ask(world, "POST {}/tags", network, tags=["red", "cyan"]) == {"tags": ["red", "cyan"]}
    assert tags_of(world, network) == ["a.b", "blue", "cyan", "red"]
    ask(world, "GET {}/tags/{}", network, "red")
    ask(world, "DELETE {}/tags/{}", network, "red")
    for view in ("GET {}/tags/{}", "DELETE {}/tags/{}"):
        with refused("TagNotFound", "Tag red could not be found."):
            ask(world, view, network, "red")
    ask(world, "DELETE {}/tags", network)
    assert tags_of(world, network) == []


def test_a_change_of_tags_is_a_change_of_the_thing(world: World, network: str) -> None:
    before = world.get("networks", network)["revision_number"]
    ask(world, "PUT {}/tags/{}", network, "red")
    ask(world, "PUT {}/tags/{}", network, "red")
    assert world.get("networks", network)["revision_number"] == before + 1
    with refused("RevisionNumberConstraintFailed"):
        ask(world, "DELETE {}/tags", network, revision=before)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        (None, "Invalid tags body."),
        ("red", "'red' is not a list."),
        (["x" * 256], "exceeds maximum length of 255."),
        ([5], "'5' is not a valid string."),
        ([{}], "'{}' is not a valid string."),
        (["a", "b", "a"], "Duplicate items in the list: 'a'."),
    ],
)
def test_what_is_no_list_of_tags(world: World, network: str, tags: Any, words: str) -> None:
    for view in ("PUT {}/tags", "POST {}/tags"):
        with refused("InvalidInput", words):
            ask(world, view, network, tags=tags)
    with refused("InvalidInput", "exceeds maximum length"):
        ask(world, "PUT {}/tags/{}", network, "x" * 256)


def test_a_thing_has_so_many_tags_and_no_more(world: World, network: str) -> None:
    words = "Bad networks request: The number of tags exceed the per-resource limit of 50."
    ask(world, "PUT {}/tags", network, tags=[f"t{n}" for n in range(50)])
    with refused("BadRequest", words):
        ask(world, "PUT {}/tags/{}", network, "one more")
    with refused("BadRequest", "Bad ports request"):
        world.port(network, tags=[f"t{n}" for n in range(51)])


def test_whose_tags_one_may_change(world: World, network: str) -> None:
    with refused("NetworkNotFound"):
        ask(world, "GET {}/tags", network, by=BOB)
    assert ask(world, "GET {}/tags", network, by=ANN) == {"tags": []}
    acts = (("create", "POST {}/tags"), ("update", "PUT {}/tags"), ("delete", "DELETE {}/tags"))
    for act, view in acts:
        with refused("PolicyNotAuthorized", f"rule:{act}_network:tags is disallowed by policy"):
            ask(world, view, network, tags=["a"], by=ANN)
    with refused("NetworkNotFound"):
        ask(world, "PUT {}/tags/{}", NOBODY, "a")


def test_operators_tags_are_theirs_to_give_and_to_take(world: World, network: str) -> None:
    """And stay when the owner replaces or takes away all of his, who is not refused for their sake."""
    boss = Actor("boss", "red", frozenset({"manager"}))
    port = world.port(network)["id"]
    for who in (ALICE, boss):
        for path, id_ in (("networks", network), ("ports", port)):
            for view, ids in (("PUT {}/tags/{}", (id_, OWN)), ("PUT {}/tags", (id_,)), ("POST {}/tags", (id_,))):
                with refused("PolicyNotAuthorized", "rule:change_operators_tags"):
                    ask(world, view, *ids, tags=["a", OWN], by=who, path=path)
    with refused("PolicyNotAuthorized", "rule:change_operators_tags"):
        world.port(network, tags=[OWN])
    assert world.port(network, ADMIN, tags=[OWN])["tags"] == [OWN]
    ask(world, "PUT {}/tags", network, tags=["a", OWN], by=ADMIN)
    with refused("PolicyNotAuthorized", "rule:change_operators_tags"):
        ask(world, "DELETE {}/tags/{}", network, OWN)
    assert ask(world, "PUT {}/tags", network, tags=["b"]) == {"tags": ["b", OWN]}
    assert ask(world, "PUT {}/tags", network, tags=[OWN, "c"]) == {"tags": [OWN, "c"]}
    assert tags_of(world, network) == ["c", OWN]
    ask(world, "DELETE {}/tags", network)
    assert tags_of(world, network) == [OWN]
    ask(world, "PUT {}/tags", network, tags=[], by=ADMIN)
    assert tags_of(world, network) == []


def test_the_owner_of_a_network_tags_its_subnets(world: World) -> None:
    network = world.network(ADMIN, project_id="red", shared=True)
    subnet = world.subnet(network, by=ADMIN)
    ask(world, "PUT {}/tags", subnet, tags=["a"], path="subnets")
    with refused("PolicyNotAuthorized"):
        ask(world, "PUT {}/tags", subnet, tags=["a"], path="subnets", by=BOB)


def test_ports_are_given_tags_when_they_are_made(world: World, network: str) -> None:
    assert world.port(network, tags=["b", "a"])["tags"] == ["a", "b"]
    assert world.port(network)["tags"] == []
    with refused("HTTPBadRequest", "Invalid input for tags. Reason: 'x' is not a list."):
        world.port(network, tags="x")
    with refused("HTTPBadRequest", "Attribute 'tags' not allowed in POST"):
        world.network(tags=["a"])


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("tags=red", "1 3"),
        ("tags=red,blue", "3"),
        ("tags=red&tags=blue", "3"),
        ("tags-any=red,blue", "1 2 3"),
        ("not-tags=red,blue", "1 2 4 5"),
        ("not-tags-any=red,blue", "4 5"),
        ("tags=Red", ""),
        ("tags=re", ""),
        ("tags=r%", ""),
        ("tags=red&name=1", "1"),
        ('tags=a"b', "5"),
        ('tags=x\\"', ""),
        ("tags=b", ""),
        ("tags=[red", "5"),
        ("tags=';--", "5"),
        ("tags=ü", "5"),
        ("tags=", ""),
    ],
)
def test_lists_by_tags(world: World, query: str, found: str) -> None:
    odd = ['a"b', "[red", "';--", "ü", 'x","red', 'x["red']
    for name, tags in (("1", ["red"]), ("2", ["blue"]), ("3", ["blue", "red"]), ("4", []), ("5", odd)):
        ask(world, "PUT {}/tags", world.network(name=name), tags=tags)
    assert " ".join(sorted(one["name"] for one in world.list("networks", query))) == found


def test_questions_by_tags_that_nobody_answers(world: World) -> None:
    with refused("HTTPBadRequest", "At most 100 tags"):
        world.list("networks", "tags=" + ",".join(map(str, range(101))))
    with refused("HTTPBadRequest", "['tags'] is invalid attribute for filtering"):
        world.list("security-group-rules", "tags=a")
