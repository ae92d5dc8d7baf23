"""What policies, and who asks by hand, can have done: actions by name, each with its arguments and how it is undone.

All of them are acts on the store, done in the transaction of whoever asks; `webhook` leaves a delivery there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from suimon.model.actor import Actor
from suimon.model.errors import BadRequest, Conflict, NotFound
from suimon.model.findings import Subject, SubjectKind
from suimon.model.things import Port, SecurityGroupRule, Thing
from suimon.resources import subscribers
from suimon.resources.registry import RESOURCES
from suimon.resources.security_group_rules import restore_rule
from suimon.store.tx import Tx

Value = str | int | float | bool | None
Arguments = Mapping[str, Any]
"""By name, of the kinds that the action says."""
_UP: Final = "admin_state_up"
_GROUPS: Final = "security_groups"
_PATHS: Final[Mapping[str, str]] = {
    "port": "ports",
    "network": "networks",
    "router": "routers",
    "security_group": "security-groups",
    "floating_ip": "floatingips",
}
"""What can be tagged, and where it is kept."""


class Parameter(msgspec.Struct, frozen=True):
    """An argument of an action; one that is `optional` may be left out, and all behind it."""

    name: str
    words: str
    type: type = str
    optional: bool = False


class Done(msgspec.Struct, frozen=True):
    """What was done, and how it is undone: a thing is changed back, or a rule made again (None: it can't be)."""

    words: str
    undo: dict[str, object] | None = None


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """`subject` is what it is done to. One that `binds` takes something from its ports; one that `mends` is to end what
    it was called for by.

    It is a restriction (`wanted`, in its fields but for reason and duration), or `do` does it.
    """

    words: str
    parameters: tuple[Parameter, ...]
    subject: Callable[[Arguments], Subject]
    wanted: Callable[[Arguments], dict[str, object]] | None = None
    do: Callable[[Tx, Actor, Arguments], Done] | None = None
    binds: bool = True
    mends: bool = True


def action_of(name: str) -> Action:
    """By its name with its source, as in `suimon:quarantine`. Raises NotFound."""
    if name not in ACTIONS:
        raise NotFound(f"There is no action {name[:255]}.")
    return ACTIONS[name]


def arguments_of(action: Action, row: Sequence[Value]) -> dict[str, Any]:
    """By name. Raises BadRequest when they are too few, too many, or of another type."""
    least = sum(not each.optional for each in action.parameters)
    if not least <= len(row) <= len(action.parameters):
        wanted = ", ".join(each.name for each in action.parameters)
        raise BadRequest(f"It takes {wanted}: {len(row)} were given.")
    for each, value in zip(action.parameters, row, strict=False):
        if type(value) is not each.type or (isinstance(value, str) and len(value) > 1000):
            raise BadRequest(f"Its {each.name} is {_TYPES[each.type]}, and not {str(value)[:80]!r}.")
    return {each.name: value for each, value in zip(action.parameters, row, strict=False)}


def undo(tx: Tx, actor: Actor, told: Mapping[str, Any]) -> str:
    """Undo what an action said (`Done.undo`), in words. Raises NotFound, and Conflict when it was changed since."""
    if "rule" in told:
        rule = restore_rule(tx, actor, msgspec.convert(told["rule"], SecurityGroupRule))
        return f"security group rule {rule.id} is there again"
    path, id_, before, after = told["path"], told["id"], told["before"], told["after"]
    spec = RESOURCES[path].spec
    thing = _find(tx, actor, path, id_)
    if any(_plain(getattr(thing, field)) != after[field] for field in after):
        raise Conflict(f"{spec.singular} {id_} was changed since: it is left as it is.")
    _change(tx, actor, path, id_, before)
    return f"{spec.singular} {id_} as before: {_listed(before)}"


def _find(tx: Tx, actor: Actor, path: str, id_: str) -> Thing:
    get = RESOURCES[path].get
    assert get is not None
    thing = get(tx, actor, id_).thing
    assert isinstance(thing, Thing)
    return thing


def _change(tx: Tx, actor: Actor, path: str, id_: str, values: Mapping[str, object]) -> None:
    if values.keys() == {"tags"}:
        tags = values["tags"]
        assert isinstance(tags, list)
        if _plain((thing := _find(tx, actor, path, id_)).tags) != tags:
            tx.change(thing, tags=tuple(tags))
        return
    kind = RESOURCES[path]
    assert kind.update is not None
    kind.update(tx, actor, id_, kind.spec.for_update(values, actor), None)


def _changed(tx: Tx, actor: Actor, path: str, id_: str, values: Mapping[str, object]) -> Done:
    """With these fields as they were, to be changed back to."""
    before = {field: _plain(getattr(_find(tx, actor, path, id_), field)) for field in values}
    what = f"{RESOURCES[path].spec.singular} {id_}"
    if before == values:
        return Done(f"{what} is so already: {_listed(values)}")
    _change(tx, actor, path, id_, values)
    after = {field: _plain(getattr(_find(tx, actor, path, id_), field)) for field in values}
    return Done(f"{what}: {_listed(values)}", {"path": path, "id": id_, "before": before, "after": after})


def _groups(tx: Tx, actor: Actor, args: Arguments, change: Callable[[list[str], str], list[str]]) -> Done:
    port = _find(tx, actor, "ports", args["port"])
    assert isinstance(port, Port)
    return _changed(tx, actor, "ports", port.id, {_GROUPS: change(list(port.security_groups), args["group"])})


def _with(groups: list[str], group: str) -> list[str]:
    return [*groups, *([] if group in groups else [group])]


def _without(groups: list[str], group: str) -> list[str]:
    return [each for each in groups if each != group]


def _only(_groups: list[str], group: str) -> list[str]:
    return [group]


def _delete_rule(tx: Tx, actor: Actor, args: Arguments) -> Done:
    path = "security-group-rules"
    rule = _find(tx, actor, path, args["rule"])
    assert isinstance(rule, SecurityGroupRule)
    delete, spec = RESOURCES[path].delete, RESOURCES[path].spec
    assert delete is not None
    delete(tx, actor, rule.id, None)
    said = {each.name: getattr(rule, each.field) for each in spec.attributes if each.post}
    what = _listed({name: value for name, value in said.items() if value not in (None, "", ())})
    return Done(f"security group rule {rule.id} is deleted: {what}", {"rule": msgspec.to_builtins(rule)})


def _detach(tx: Tx, actor: Actor, args: Arguments) -> Done:
    id_ = args["floating_ip"]
    before = _find(tx, actor, "floatingips", id_)
    done = _changed(tx, actor, "floatingips", id_, {"port_id": None})
    if done.undo is None:
        return done
    back = {"port_id": getattr(before, "port_id", None), "fixed_ip_address": getattr(before, "fixed_ip_address", None)}
    return Done(f"floating IP {id_} is detached from port {back['port_id']}", {**done.undo, "before": back})


def _tag(tx: Tx, actor: Actor, args: Arguments, *, has: bool) -> Done:
    path = _PATHS.get(args["kind"], "")
    if not path:
        raise BadRequest(f"What can be tagged is one of {', '.join(_PATHS)}.")
    tags = set(_find(tx, actor, path, args["id"]).tags)
    return _changed(
        tx, actor, path, args["id"], {"tags": sorted(tags | {args["tag"]} if has else tags - {args["tag"]})}
    )


def _webhook(tx: Tx, actor: Actor, args: Arguments) -> Done:
    id_ = subscribers.call(tx, actor, args["url"], args["text"])
    return Done(f"told to {args['url']}, until it is taken: the same id may come twice ({id_})")


def _state(path: str, name: str) -> Callable[[Tx, Actor, Arguments], Done]:
    return lambda tx, actor, args: _changed(tx, actor, path, args[name], {_UP: args["up"]})


def _of(kind: SubjectKind, name: str) -> Callable[[Arguments], Subject]:
    return lambda args: Subject(kind, args[name])


def _tagged(args: Arguments) -> Subject:
    return Subject(args["kind"] if args["kind"] in _PATHS else "cloud", args["id"])


def _restriction(kind: str, words: str, *values: Parameter, direction: str | None = None) -> Action:
    """Of a port; the values have the names of the restriction's fields."""

    def wanted(args: Arguments) -> dict[str, object]:
        given = {each.name: args[each.name] for each in values}
        told = {"kind": kind, "target_kind": "port", "target": args["port"], "direction": direction, **given}
        return {name: value for name, value in told.items() if value is not None}

    parameters = (_PORT, *values, _HOURS)
    return Action(words=words, parameters=parameters, subject=_of("port", "port"), wanted=wanted)


def _plain(value: object) -> object:
    """As JSON brings it back."""
    return list(value) if isinstance(value, tuple) else value


def _listed(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={msgspec.json.encode(value).decode()}" for name, value in values.items())


_TYPES: Final[Mapping[type, str]] = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
_PORT: Final = Parameter("port", "the port's id")
_GROUP: Final = Parameter("group", "the security group's id")
_ROUTER: Final = Parameter("router", "the router's id")
_STATE: Final = Parameter("up", "true or false", bool)
_HOURS: Final = Parameter("hours", "for how long; one without it", int, optional=True)
_TAGS: Final = (
    Parameter("kind", f"one of {', '.join(_PATHS)}"),
    Parameter("id", "its id"),
    Parameter("tag", "the tag"),
)
_CONGRESS: Final[Mapping[str, Action]] = {
    "attach_port_security_group": Action(
        words="Give a port one more security group.",
        parameters=(_PORT, _GROUP),
        subject=_of("port", "port"),
        do=lambda tx, actor, args: _groups(tx, actor, args, _with),
    ),
    "detach_port_security_group": Action(
        words="Take a security group from a port.",
        parameters=(_PORT, _GROUP),
        subject=_of("port", "port"),
        do=lambda tx, actor, args: _groups(tx, actor, args, _without),
    ),
    "delete_security_group_rule": Action(
        words="Delete a security group rule.",
        parameters=(Parameter("rule", "the rule's id"),),
        subject=_of("security_group_rule", "rule"),
        do=_delete_rule,
    ),
}
"""Under Congress's names, for `neutronv2` and for `suimon`."""
ACTIONS: Final[Mapping[str, Action]] = {
    "suimon:rate_limit": _restriction(
        "rate_limit",
        "Limit how much a port sends and gets.",
        Parameter("rate_kbps", "kbit/s each way", int),
    ),
    "suimon:packet_rate_limit": _restriction(
        "packet_rate_limit",
        "Limit how many packets a port sends and gets.",
        Parameter("rate_kpps", "thousands a second each way", int),
    ),
    "suimon:port_block": _restriction(
        "port_block",
        "Let a port send nothing to an L4 port.",
        Parameter("protocol", "tcp or udp"),
        Parameter("port_min", "the L4 port", int),
        direction="egress",
    ),
    "suimon:quarantine": _restriction("quarantine", "Leave a port nothing but DHCP, DNS, metadata and the operator."),
    "suimon:set_security_groups": Action(
        words="Let a port be in one security group only.",
        parameters=(_PORT, _GROUP),
        subject=_of("port", "port"),
        do=lambda tx, actor, args: _groups(tx, actor, args, _only),
    ),
    "suimon:set_port_state": Action(
        words="Switch a port off, or on.",
        parameters=(_PORT, _STATE),
        subject=_of("port", "port"),
        do=_state("ports", "port"),
    ),
    "suimon:set_router_state": Action(
        words="Switch a router off, or on.",
        parameters=(_ROUTER, _STATE),
        subject=_of("router", "router"),
        do=_state("routers", "router"),
    ),
    "suimon:detach_floating_ip": Action(
        words="Detach a floating IP from its port.",
        parameters=(Parameter("floating_ip", "the floating IP's id"),),
        subject=_of("floating_ip", "floating_ip"),
        do=_detach,
    ),
    "suimon:add_tag": Action(
        words="Give something a tag.",
        parameters=_TAGS,
        subject=_tagged,
        do=lambda tx, actor, args: _tag(tx, actor, args, has=True),
        binds=False,
    ),
    "suimon:remove_tag": Action(
        words="Take a tag from something.",
        parameters=_TAGS,
        subject=_tagged,
        do=lambda tx, actor, args: _tag(tx, actor, args, has=False),
        binds=False,
    ),
    "suimon:webhook": Action(
        words="Tell a text to an operators' subscriber, by a signed request. It may come more than once.",
        parameters=(Parameter("url", "the subscriber's URL, as it was registered"), Parameter("text", "what to tell")),
        subject=lambda _args: Subject("cloud", ""),
        do=_webhook,
        binds=False,
        mends=False,
    ),
    **{f"{source}:{name}": action for source in ("suimon", "neutronv2") for name, action in _CONGRESS.items()},
}
"""By source and name."""
