"""Every kind of resource that the network API serves, by the collection's path in URLs, and the acts on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from suimon.model.actor import Actor
from suimon.model.attributes import Shown, Spec
from suimon.model.query import Query
from suimon.model.things import BandwidthLimitRule, PortBlockRule, Thing
from suimon.resources import (
    floating_ips,
    networks,
    ports,
    qos,
    router_interfaces,
    routers,
    security_group_rules,
    security_groups,
    subnets,
)
from suimon.resources.collection import Collection
from suimon.store.tx import Tx

T = TypeVar("T", bound=Thing)
Wanted = Mapping[str, Any]
"""Field → checked value, as `Spec.for_create` and `for_update` make them."""
Create = Callable[[Tx, Actor, Wanted], Shown]
CreateMany = Callable[[Tx, Actor, Sequence[Wanted]], list[Shown]]
Update = Callable[[Tx, Actor, str, Wanted, int | None], Shown]
Delete = Callable[[Tx, Actor, str, int | None], None]
Action = Callable[[Tx, Actor, str, object], dict[str, object]]
"""(transaction, actor, id, the request's body as it came) → the answer's body."""


class Child(msgspec.Struct, frozen=True):
    """A collection inside of each resource; the first id is the parent's."""

    spec: Spec
    get: Callable[[Tx, Actor, str, str], Shown]
    list: Callable[[Tx, Actor, str], Sequence[Shown]]
    create: Callable[[Tx, Actor, str, Wanted], Shown]
    update: Callable[[Tx, Actor, str, str, Wanted], Shown]
    delete: Callable[[Tx, Actor, str, str], None]


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """One kind: reading is for `Store.read` (`get` is one or two statements: `one_statement=True`), acts for
    `Store.write`.

    What comes out is for `spec.render(shown, actor, fields)`. An act that is None doesn't exist (405).
    `prepare` is an act that makes what has to be there when somebody lists: a project's default security group. It is
    to be written when `unprepared`, a read, says so.
    """

    spec: Spec
    get: Callable[[Tx, Actor, str], Shown]
    list: Callable[[Tx, Actor, Query], Sequence[Shown]]
    create: Create | None = None
    create_many: CreateMany | None = None
    update: Update | None = None
    delete: Delete | None = None
    actions: Mapping[str, Action] = {}
    children: Mapping[str, Child] = {}
    unprepared: Callable[[Tx, Actor], bool] | None = None
    prepare: Callable[[Tx, Actor], None] | None = None


def _create_many(collection: Collection[T], act: Callable[[Tx, Actor, Sequence[Wanted]], Sequence[T]]) -> CreateMany:
    return lambda tx, actor, wanted: collection.shown(tx, act(tx, actor, wanted))


def _update(collection: Collection[T], act: Callable[[Tx, Actor, str, Wanted, int | None], T]) -> Update:
    return lambda tx, actor, id_, wanted, expected: collection.shown(tx, [act(tx, actor, id_, wanted, expected)])[0]


def _resource(
    collection: Collection[T],
    create: Callable[[Tx, Actor, Sequence[Wanted]], Sequence[T]],
    update: Callable[[Tx, Actor, str, Wanted, int | None], T] | None,
    delete: Delete,
    **more: Any,
) -> Resource:
    many = _create_many(collection, create)
    return Resource(
        spec=collection.spec,
        get=collection.get,
        list=collection.page,
        create=lambda tx, actor, wanted: many(tx, actor, [wanted])[0],
        create_many=many,
        update=_update(collection, update) if update else None,
        delete=delete,
        **more,
    )


def _qos_child(type_: type[qos.Rule]) -> Child:
    return Child(
        spec=qos.RULE_SPECS[type_],
        get=lambda tx, actor, policy, id_: Shown(qos.find_rule(tx, actor, policy, type_, id_)),
        list=lambda tx, actor, policy: [Shown(rule) for rule in qos.list_rules(tx, actor, policy, type_)],
        create=lambda tx, actor, policy, wanted: Shown(qos.create_rule(tx, actor, policy, type_, wanted)),
        update=lambda tx, actor, policy, id_, wanted: Shown(
            qos.update_rule(tx, actor, policy, qos.find_rule(tx, actor, policy, type_, id_), wanted)
        ),
        delete=lambda tx, actor, policy, id_: qos.delete_rule(
            tx, actor, policy, qos.find_rule(tx, actor, policy, type_, id_)
        ),
    )


RESOURCES: Final[dict[str, Resource]] = {
    "networks": _resource(
        networks.NETWORKS, networks.create_networks, networks.update_network, networks.delete_network
    ),
    "subnets": _resource(subnets.SUBNETS, subnets.create_subnets, subnets.update_subnet, subnets.delete_subnet),
    "ports": _resource(ports.PORTS, ports.create_ports, ports.update_port, ports.delete_port),
    "security-groups": _resource(
        security_groups.SECURITY_GROUPS,
        security_groups.create_security_groups,
        security_groups.update_security_group,
        security_groups.delete_security_group,
        unprepared=security_groups.lacks_default,
        prepare=security_groups.ensure_default,
    ),
    "security-group-rules": _resource(
        security_group_rules.SECURITY_GROUP_RULES,
        security_group_rules.create_rules,
        None,
        security_group_rules.delete_rule,
    ),
    "routers": _resource(
        routers.ROUTERS,
        routers.create_routers,
        routers.update_router,
        routers.delete_router,
        actions={
            "add_router_interface": router_interfaces.add_router_interface,
            "remove_router_interface": router_interfaces.remove_router_interface,
            "add_extraroutes": routers.add_extraroutes,
            "remove_extraroutes": routers.remove_extraroutes,
        },
    ),
    "floatingips": _resource(
        floating_ips.FLOATING_IPS,
        floating_ips.create_floating_ips,
        floating_ips.update_floating_ip,
        floating_ips.delete_floating_ip,
    ),
    "qos/policies": _resource(
        qos.QOS_POLICIES,
        qos.create_policies,
        qos.update_policy,
        qos.delete_policy,
        children={
            "bandwidth_limit_rules": _qos_child(BandwidthLimitRule),
            "port_block_rules": _qos_child(PortBlockRule),
        },
    ),
}
