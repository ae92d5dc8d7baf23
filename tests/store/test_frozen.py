"""What a former version left on disk is read by this one, and means the same: no migration loses anything."""

import asyncio
import shutil
import sqlite3
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from suimon.agent.memory import Memory
from suimon.agent.saved import StateDirectory, record
from suimon.distribution.difference import Held, differences
from suimon.model import view
from suimon.model.query import parse_query
from suimon.pipeline.simulate import Ends, Switch, tcp
from suimon.pipeline.world import World
from suimon.resources.registry import RESOURCES
from suimon.store import Store, StoreConfig
from tests import frozen
from tests.resources.world import ADMIN

VERSIONS = sorted(path for path in Path(frozen.__file__).parent.iterdir() if (path / "store.sql").exists())
COUNTS = {
    "networks": 4,
    "subnets": 4,
    "ports": 9,
    "security-groups": 2,
    "routers": 1,
    "floatingips": 1,
    "qos/policies": 1,
}
"""Of the ports, five are guests', three a router's, one is the floating IP's."""
OFPORTS = {"one": 11, "two": 12}


def test_there_is_a_frozen_version() -> None:
    assert VERSIONS


@pytest.fixture(params=VERSIONS, ids=lambda path: path.name)
def version(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


@pytest.fixture
def store(version: Path, tmp_path: Path) -> Store:
    with sqlite3.connect(tmp_path / "suimon.db") as database:
        database.executescript((version / "store.sql").read_text())
    store = Store(StoreConfig(f"sqlite:///{tmp_path}/suimon.db"))
    store.open()
    return store


def told(store: Store) -> dict[view.Key, view.Object]:
    """What hv1 is told by this version, from nothing."""
    found = asyncio.run(store.read(lambda tx: differences(tx, {"hv1": Held(view.SCHEMA)}, {"hv1"}, ())))
    objects = [msgspec.json.decode(raw, type=view.Object) for raw in found["hv1"].objects]
    return {view.key(thing): thing for thing in objects}


def remembered(version: Path, folder: Path) -> tuple[dict[view.Key, view.Object], World]:
    """What the agent of hv1 starts from, and the world that it makes of it."""
    for path in version.glob("*.json"):
        shutil.copy(path, folder / path.name)
    memory = Memory(StateDirectory(folder))
    kept, numbers = memory.load_view(), memory.load_numbers()
    assert kept.position is not None
    world = World("hv1", numbers)
    for thing in kept.objects.values():
        world.set(thing)
    world.wire({"vxlan": 1}, {"public": 2})
    for name, ofport in OFPORTS.items():
        world.plug(port(kept.objects, name).id, ofport)
    return dict(kept.objects), world


def test_kinds_that_came_later_do_not_cost_the_view(version: Path, tmp_path: Path) -> None:
    """A host goes back to an older version: what the newer one was told besides has no effect, and all else has."""
    objects, _ = remembered(version, tmp_path)
    position = Memory(StateDirectory(tmp_path)).load_view().position
    later = {"position": position, "deleted": [], "changed": [{"type": "teleport", "id": "t", "to": "hv2"}]}
    with (tmp_path / "view.json").open("ab") as file:
        file.write(record(msgspec.json.encode(later)))
    with capture_logs() as lines:
        assert dict(Memory(StateDirectory(tmp_path)).load_view().objects) == objects
    assert [line["kinds"] for line in lines if line["event"] == "unknown_kinds"] == [["teleport"]]


def port(objects: dict[view.Key, view.Object], name: str) -> view.Port:
    return next(thing for thing in objects.values() if isinstance(thing, view.Port) and thing.name == name)


def test_the_database_is_migrated_and_shows_all_that_was_in_it(store: Store) -> None:
    for path, count in COUNTS.items():
        resource = RESOURCES[path]
        query = parse_query(resource.spec, [])
        things = asyncio.run(store.read(lambda tx, listed=resource.list, query=query: listed(tx, ADMIN, query)))
        assert len(things) == count, path
        for thing in things:
            assert resource.spec.render(thing, ADMIN)["id"] == thing.id
    store.close()


def test_an_upgraded_host_that_is_told_all_again_touches_no_flow(store: Store, version: Path, tmp_path: Path) -> None:
    objects, world = remembered(version, tmp_path)
    before = {flow for owner in world.owners() for flow in world.compile(owner).flows}
    after = told(store)
    assert after.keys() >= objects.keys()
    for key, thing in after.items():
        if thing != objects.get(key):
            world.set(thing)
    now = {flow for owner in world.owners() for flow in world.compile(owner).flows}
    assert before <= now, "what a newer view tells is added to the flows that there are"
    store.close()


def test_the_agents_memory_compiles_to_flows_with_the_numbers_it_had(version: Path, tmp_path: Path) -> None:
    objects, world = remembered(version, tmp_path)
    before = world.numbers.dump()
    programs = [world.compile(owner) for owner in world.owners()]
    after = world.numbers.dump()
    kept = all(names.items() <= after.used[kind].items() for kind, names in before.used.items())
    assert kept, "an upgrade would renumber flows, and so touch them"
    flows = [flow for program in programs for flow in program.flows]
    switch = Switch(flows, [group for program in programs for group in program.groups])
    one, two = port(objects, "one"), port(objects, "two")
    ends = Ends(one.mac, two.mac, one.fixed_ips[0].ip, two.fixed_ips[0].ip)
    assert [ofport for ofport, _ in switch.process(tcp(ends, 80).arriving(OFPORTS["one"])).outputs] == [OFPORTS["two"]]
    assert switch.process(tcp(ends, 25).arriving(OFPORTS["one"])).outputs == ()
