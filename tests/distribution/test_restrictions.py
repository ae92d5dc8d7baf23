"""Who is told of a restriction: the hosts of what it is about, also when that comes later or moves, and nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from suimon.distribution.dispatch import Dispatcher
from suimon.model import things, view
from suimon.model.actor import Actor
from suimon.model.touches import UNPLUGGED
from suimon.pipeline.facts import Facts
from suimon.pipeline.numbers import Numbers
from suimon.resources import hosts, restrictions
from suimon.resources.registry import RESOURCES
from suimon.resources.resource import Asked
from suimon.store.store import Store
from suimon.store.tx import Tx
from tests.distribution.acts import ADMIN, NOVA
from tests.distribution.test_dispatch import connected, make_network, on, with_dispatcher
from tests.distribution.world import Follower, make, make_host, put, settle, write

HOSTS = ("h1", "h2", "h3")


async def restrict(store: Store, target_kind: str, target: str, **given: Any) -> things.Restriction:
    body = {"kind": "quarantine", "reason": "spam", "target_kind": target_kind, "target": target, **given}
    wanted = restrictions.SPEC.for_create(body, ADMIN)

    def act(tx: Tx) -> things.Restriction:
        return restrictions.create_restrictions(tx, ADMIN, [wanted])[0]

    return await store.write(act, ADMIN)


class Watched:
    """All hosts, and which of them know of a restriction."""

    def __init__(self, store: Store, dispatcher: Dispatcher, followers: list[Follower]) -> None:
        self._store, self._dispatcher, self._followers = store, dispatcher, followers

    async def knowing(self, restriction: things.Restriction) -> str:
        await settle(self._store, self._dispatcher)
        for follower in self._followers:
            await follower.drain()
        key = ("restriction", restriction.id)
        return " ".join(each.host for each in self._followers if key in each.objects)

    @property
    def first(self) -> Follower:
        return self._followers[0]

    @property
    def told(self) -> list[int]:
        """Frames, by host."""
        return [len(each.frames) for each in self._followers]


async def watched(store: Store, dispatcher: Dispatcher) -> Watched:
    await put(store, make_host("h3", "192.0.2.3"))
    await settle(store, dispatcher)
    return Watched(store, dispatcher, [await connected(dispatcher, host) for host in HOSTS])


def test_of_a_project_the_hosts_of_its_ports_know_also_of_later_ones(tmp_path: Path) -> None:
    async def body(store: Store, dispatcher: Dispatcher) -> None:
        (blue, blue4), (red, red4) = make_network(1), make_network(2)
        mine, theirs = on(blue4, "h1", project_id="mine"), on(red4, "h2", project_id="theirs")
        await put(store, blue, blue4, red, red4, mine, theirs)
        hosts = await watched(store, dispatcher)
        before = hosts.told
        made = await restrict(store, "project", "mine")
        assert await hosts.knowing(made) == "h1"
        assert hosts.told[1:] == before[1:]
        await put(store, on(red4, "h3", 4, project_id="mine"))
        assert await hosts.knowing(made) == "h1 h3"
        await write(store, lambda tx: RESOURCES["ports"].delete(tx, ADMIN, mine.id, None))  # type: ignore[misc]
        assert await hosts.knowing(made) == "h3"
        await write(store, lambda tx: restrictions.release(tx, ADMIN, made.id, "mended"))
        assert await hosts.knowing(made) == ""

    with_dispatcher(tmp_path, body)


def test_of_a_port_its_host_knows_and_the_one_that_it_moves_to(tmp_path: Path) -> None:
    async def body(store: Store, dispatcher: Dispatcher) -> None:
        blue, blue4 = make_network(1)
        port, other = on(blue4, "h1", device_owner="compute:nova"), on(blue4, "h3", 4)
        await put(store, blue, blue4, port, other)
        hosts = await watched(store, dispatcher)
        before = hosts.told
        made = await restrict(store, "port", port.id)
        assert await hosts.knowing(made) == "h1"
        assert hosts.told[1:] == before[1:]
        waiting = make(things.PortBinding, port_id=port.id, host="h2")
        await write(store, lambda tx: (tx.insert(waiting), tx.touch("port", port.id, "host:h1")))
        assert await hosts.knowing(made) == "h1 h2"
        bindings = RESOURCES["ports"].children["bindings"]
        activate, nova = bindings.views["PUT {}/activate"].act, Asked(ids=(port.id, "h2"))
        await write(store, lambda tx: activate(tx, NOVA, nova))
        assert await hosts.knowing(made) == "h1 h2"
        await write(store, lambda tx: bindings.delete(tx, NOVA, port.id, "h1", None))  # type: ignore[misc]
        assert await hosts.knowing(made) == "h2"

    with_dispatcher(tmp_path, body)


def test_of_a_network_those_on_it_know_and_of_an_outside_address_all_with_ports(tmp_path: Path) -> None:
    async def body(store: Store, dispatcher: Dispatcher) -> None:
        (blue, blue4), (red, red4) = make_network(1), make_network(2)
        await put(store, blue, blue4, red, red4, on(blue4, "h1"), on(red4, "h2"))
        hosts = await watched(store, dispatcher)
        assert await hosts.knowing(await restrict(store, "network", red.id)) == "h2"
        outside = await restrict(store, "outside_address", "203.0.113.9", kind="port_block")
        assert await hosts.knowing(outside) == "h1 h2"

    with_dispatcher(tmp_path, body)


def test_an_agent_that_knows_none_is_told_of_none(tmp_path: Path) -> None:
    async def body(store: Store, dispatcher: Dispatcher) -> None:
        blue, blue4 = make_network(1)
        port = on(blue4, "h1")
        await put(store, blue, blue4, port)
        made = await restrict(store, "port", port.id)
        await write(store, lambda tx: hosts.note_schema(tx, "h1", 2))
        older = Follower("h1", schema=2)
        await older.connect(dispatcher)
        assert await Watched(store, dispatcher, [older]).knowing(made) == ""
        assert ("port", port.id) in older.objects

    with_dispatcher(tmp_path, body)


@pytest.mark.parametrize("owner", ["network:dhcp", "neutron:x", "network:floatingip"])
def test_a_tenant_s_port_that_he_calls_the_clouds_own_stays_restricted_and_under_its_network_s_policy(
    tmp_path: Path, owner: str
) -> None:
    """On a network of his own he may call it so; and one that is plugged nowhere is restricted when it is again."""
    tenant = Actor("t", "mine", frozenset({"member"}))

    async def body(store: Store, dispatcher: Dispatcher) -> None:
        policy = make(things.QosPolicy)
        blue, blue4 = make_network(1, project_id="mine", qos_policy_id=policy.id)
        port = on(blue4, "h1", project_id="mine")
        await put(store, policy, blue, blue4, port)
        hosts = await watched(store, dispatcher)
        made = [await restrict(store, *target) for target in (("port", port.id), ("project", "mine"))]

        async def call_it(device_owner: str) -> set[str]:
            """What binds the port in the pipeline of its host."""
            values = RESOURCES["ports"].spec.for_update({"device_owner": device_owner}, tenant)
            await write(store, lambda tx: RESOURCES["ports"].update(tx, tenant, port.id, values, None))  # type: ignore[misc]
            await hosts.knowing(made[0])
            facts = Facts("h1", Numbers())
            for thing in hosts.first.objects.values():
                facts.set(thing)
            told = facts.port(port.id)
            assert told is None or told.qos_id == policy.id
            return {each.id for each in facts.restrictions(told)} if told else set()

        everything = {each.id for each in made}
        assert await call_it(owner) == (set() if owner in UNPLUGGED else everything)
        assert await call_it("compute:x") == everything

    with_dispatcher(tmp_path, body)


def test_the_clouds_own_ports_say_so(tmp_path: Path) -> None:
    async def body(store: Store, dispatcher: Dispatcher) -> None:
        blue, blue4 = make_network(1)
        ports = [on(blue4, "h1", 3), on(blue4, "h1", 4, infrastructure=True)]
        await put(store, blue, blue4, *ports)
        follower = await connected(dispatcher, "h1")
        told = [follower.objects["port", port.id] for port in ports]
        assert [isinstance(port, view.Port) and port.infrastructure for port in told] == [False, True]

    with_dispatcher(tmp_path, body)
