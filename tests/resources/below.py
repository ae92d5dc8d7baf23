"""Short ways to what is inside of a resource: a floating IP's forwardings, a router's conntrack helpers."""

from __future__ import annotations

from typing import Any, NamedTuple

from suimon.model.actor import Actor
from suimon.model.query import parse_query
from suimon.resources.registry import RESOURCES
from suimon.resources.resource import Child
from tests.resources.world import ALICE, Body, World


class Below(NamedTuple):
    """`Below(world, "floatingips", "port_forwardings", id)`."""

    world: World
    path: str
    name: str
    parent: str

    @property
    def child(self) -> Child:
        return RESOURCES[self.path].children[self.name]

    def create(self, by: Actor = ALICE, **body: Any) -> Body:
        create, wanted = self.child.create, self.child.spec.for_create(body, by)
        assert create
        return self.child.spec.render(self.world.write(lambda tx: create(tx, by, self.parent, wanted), by), by)

    def update(self, id_: str, by: Actor = ALICE, **body: Any) -> Body:
        update, wanted = self.child.update, self.child.spec.for_update(body, by)
        assert update
        return self.child.spec.render(
            self.world.write(lambda tx: update(tx, by, self.parent, id_, wanted, None), by), by
        )

    def delete(self, id_: str, by: Actor = ALICE) -> None:
        delete = self.child.delete
        assert delete
        self.world.write(lambda tx: delete(tx, by, self.parent, id_, None), by)

    def get(self, id_: str, by: Actor = ALICE) -> Body:
        get = self.child.get
        assert get
        return self.child.spec.render(self.world.read(lambda tx: get(tx, by, self.parent, id_)), by)

    def list(self, by: Actor = ALICE, **filters: str) -> list[Body]:
        list_, asked = self.child.list, parse_query(self.child.spec, list(filters.items()))
        assert list_
        return [
            self.child.spec.render(one, by) for one in self.world.read(lambda tx: list_(tx, by, self.parent, asked))
        ]
