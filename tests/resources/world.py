"""A cloud of acts without an API: a real store, two projects, an admin, and short ways to do things in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec
import pytest

from suimon.model.actor import Actor
from suimon.model.attributes import Shown
from suimon.model.errors import CallerError
from suimon.model.query import parse_query
from suimon.model.settings import Settings
from suimon.model.things import Host, RbacPolicy
from suimon.resources.registry import RESOURCES
from suimon.resources.resource import Asked
from suimon.store import Store, StoreConfig, Tx
from tests.databases import empty_database

T = TypeVar("T")
ADMIN = Actor("root", "operators", frozenset({"admin"}), "req-admin")
ALICE = Actor("alice", "red", frozenset({"member"}), "req-alice")
ANN = Actor("ann", "red", frozenset({"reader"}), "req-ann")
"""Reads in Alice's project."""
BOB = Actor("bob", "blue", frozenset({"member"}), "req-bob")
NOBODY = "00000000-0000-4000-8000-000000000000"
"""An id of nothing."""
SETTINGS = Settings(vnis=((100, 199),), vlans={"physnet1": ((10, 11),)}, flat=("physnet2",))
Body = dict[str, Any]


class World:
    def __init__(self, settings: Settings = SETTINGS, url: str = "") -> None:
        self.loop = asyncio.new_event_loop()
        self._opened = ExitStack()
        url = url or self._opened.enter_context(empty_database())
        self._ahead = timedelta()
        config = StoreConfig(url, settings=settings)
        self.store = Store(config, lambda: datetime.now(UTC) + self._ahead)
        self.store.open()

    def close(self) -> None:
        self.store.close()
        self.loop.close()
        self._opened.close()

    def clock_ahead(self, by: timedelta) -> None:
        """From now on it is that much later."""
        self._ahead += by

    def read(self, act: Callable[[Tx], T]) -> T:
        return self.loop.run_until_complete(self.store.read(act))

    def write(self, act: Callable[[Tx], T], actor: Actor = ADMIN) -> T:
        return self.loop.run_until_complete(self.store.write(act, actor))

    def create(self, path: str, body: Body | None = None, by: Actor = ALICE, **more: Any) -> Body:
        return self.create_many(path, [{**(body or {}), **more}], by)[0]

    def create_many(self, path: str, bodies: list[Body], by: Actor = ALICE) -> list[Body]:
        resource = RESOURCES[path]
        wanted = [resource.spec.for_create(body, by) for body in bodies]
        if resource.create_many:
            made = self.write(lambda tx: resource.create_many(tx, by, wanted), by)  # type: ignore[misc]
        else:
            made = [self.write(lambda tx, one=one: resource.create(tx, by, one), by) for one in wanted]  # type: ignore[misc]
        return [self.rendered(path, shown, by) for shown in made]

    def update(self, path: str, id_: str, body: Body, by: Actor = ALICE, expected: int | None = None) -> Body:
        resource = RESOURCES[path]
        wanted = resource.spec.for_update(body, by)
        assert resource.update
        return self.rendered(path, self.write(lambda tx: resource.update(tx, by, id_, wanted, expected), by), by)  # type: ignore[misc]

    def delete(self, path: str, id_: str, by: Actor = ALICE, expected: int | None = None) -> None:
        delete = RESOURCES[path].delete
        assert delete
        self.write(lambda tx: delete(tx, by, id_, expected), by)

    def act(self, router: str, action: str, body: object, by: Actor = ALICE) -> Body:
        return self.write(lambda tx: RESOURCES["routers"].actions[action](tx, by, router, body), by)

    def view(self, path: str, pattern: str, *ids: str, body: object = None, by: Actor = ADMIN) -> Any:
        """What a view answers: `world.view("agents", "POST {}/l3-routers", agent, body=…)`."""
        act = RESOURCES[path].views[pattern].act
        return self.write(lambda tx: act(tx, by, Asked(ids=ids, body=body)), by)

    def get(self, path: str, id_: str, by: Actor = ALICE) -> Body:
        return self.rendered(path, self.read(lambda tx: RESOURCES[path].get(tx, by, id_)), by)

    def list(self, path: str, query: str = "", by: Actor = ALICE) -> list[Body]:
        pairs = [(key, value) for key, _, value in (part.partition("=") for part in query.split("&") if part)]
        asked = parse_query(RESOURCES[path].spec, pairs)
        return [self.rendered(path, shown, by) for shown in self.read(lambda tx: RESOURCES[path].list(tx, by, asked))]

    def rendered(self, path: str, shown: Shown, by: Actor) -> Body:
        """As it goes over the wire."""
        return msgspec.json.decode(msgspec.json.encode(RESOURCES[path].spec.render(shown, by)))

    # What most tests start from.

    def network(self, by: Actor = ALICE, **more: Any) -> str:
        return str(self.create("networks", by=by, **more)["id"])

    def subnet(self, network: str, cidr: str = "10.0.0.0/24", by: Actor = ALICE, **more: Any) -> str:
        version = 6 if ":" in cidr else 4
        return str(self.create("subnets", by=by, network_id=network, cidr=cidr, ip_version=version, **more)["id"])

    def port(self, network: str, by: Actor = ALICE, **more: Any) -> Body:
        return self.create("ports", by=by, network_id=network, **more)

    def outside(self, cidr: str = "192.0.2.0/24", **more: Any) -> str:
        """An external network of the operator, with a subnet."""
        network = self.network(ADMIN, **{"router:external": True}, **more)
        self.subnet(network, cidr, ADMIN)
        return network

    def router(self, by: Actor = ALICE, **more: Any) -> str:
        return str(self.create("routers", by=by, **more)["id"])

    def host(self, name: str, physnets: tuple[str, ...] = ()) -> None:
        host = Host(name=name, tunnel_ip=None, physnets=physnets, joined_at=datetime(2026, 1, 1, tzinfo=UTC))
        self.write(lambda tx: tx.insert(host))


def share(world: World, kind: str, id_: str, project: str) -> None:
    """An entry that lets a project use an object, without asking anybody."""
    told: Body = {"object_type": kind, "object_id": id_, "action": "access_as_shared", "target_project": project}
    now = datetime(2026, 1, 1, tzinfo=UTC)
    entry = RbacPolicy(id=f"entry-{id_}-{project}", project_id="operators", created_at=now, updated_at=now, **told)
    world.write(lambda tx: tx.insert(entry))


@contextmanager
def refused(kind: str, words: str = "") -> Iterator[None]:
    """The act is refused with Neutron's type, and says these words."""
    with pytest.raises(CallerError) as caught:
        yield
    assert caught.value.kind == kind, caught.value.message
    assert words in caught.value.message
