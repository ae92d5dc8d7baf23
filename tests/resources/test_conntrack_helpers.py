"""Conntrack helpers of routers."""

from typing import Any

import pytest

from tests.resources.below import Below
from tests.resources.world import BOB, NOBODY, World, refused

FTP = {"protocol": "tcp", "port": 21, "helper": "ftp"}


@pytest.fixture
def inside(world: World) -> Below:
    return Below(world, "routers", "conntrack_helpers", world.router())


def test_they_come_change_and_go(inside: Below) -> None:
    made = inside.create(**FTP)
    assert made == {"id": made["id"], **FTP}
    assert (inside.get(made["id"]), inside.list(), inside.list(port="22")) == (made, [made], [])
    assert inside.world.get("routers", inside.parent)["conntrack_helpers"] == [FTP]
    assert inside.update(made["id"]) == made
    assert inside.update(made["id"], port=2121)["port"] == 2121
    router = inside.world.get("routers", inside.parent)
    assert (router["conntrack_helpers"], router["revision_number"]) == ([{**FTP, "port": 2121}], 2)
    inside.delete(made["id"])
    assert inside.world.get("routers", inside.parent)["conntrack_helpers"] == []


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ({}, "BadRequest", "A duplicate conntrack helper entry with same attributes already exists"),
        ({"helper": "nosuch"}, "ConntrackHelperNotAllowed", "Conntrack Helper nosuch is not allowed."),
        (
            {"protocol": "udp"},
            "InvalidProtocolForHelper",
            "Conntrack Helper ftp does not support: udp. Supported protocols are: tcp",
        ),
    ],
)
def test_impossible(inside: Below, body: dict[str, Any], kind: str, words: str) -> None:
    inside.create(**FTP)
    with refused(kind, words):
        inside.create(**{**FTP, **body})
    other = inside.create(**{**FTP, "port": 22})["id"]
    with refused(kind, words):
        inside.update(other, **{**FTP, **body})


def test_they_go_with_their_router(inside: Below) -> None:
    inside.create(**FTP)
    inside.world.delete("routers", inside.parent)
    assert inside.world.list("routers") == []


def test_of_nothing(inside: Below) -> None:
    made = inside.create(**FTP)["id"]
    other = Below(inside.world, "routers", "conntrack_helpers", inside.world.router())
    for act in (other.get, other.update, other.delete, lambda _: inside.get(NOBODY)):
        with refused("ConntrackHelperNotFound", "could not be found."):
            act(made)
    for act in (inside.get, inside.update, inside.delete):
        with refused("RouterNotFound"):
            act(made, BOB)
    with refused("RouterNotFound"):
        inside.list(BOB)
