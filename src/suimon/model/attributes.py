"""How the API spells each resource: its attributes, declared once.

From a `Spec` follow the checking of bodies (with Neutron's words for what is wrong), what is shown and to whom, what
lists can be filtered and sorted by. Who may set or see an attribute is a rule named after it (`create_network:shared`,
`get_network:provider:segmentation_id`), which `resources.persona` hands in with `governed_by`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, Final, Self

import msgspec

from suimon.model import checks
from suimon.model.actor import Actor
from suimon.model.checks import Check, Unfit
from suimon.model.errors import BadRequest

REQUIRED: Final = object()
"""The default of an attribute that a create has to give."""
UNGIVEN: Final = msgspec.UNSET
"""The default of an attribute that the act chooses when it isn't given."""


MOST_AT_ONCE: Final = 1000
"""Items of one request: they are one transaction, for which everybody else's waits."""


class Target(msgspec.Struct, frozen=True):
    """What a rule looks at: whose the thing is, whose network it is on, and what it is like (API name → value, as far
    as a rule may ask for it).
    """

    project_id: str
    network_project_id: str = ""
    values: Mapping[str, object] = {}


Rule = Callable[[Actor, Target], bool]
"""Whether this actor may do the thing that the rule is named after."""


class Shown(msgspec.Struct, frozen=True):
    """A thing and what is shown with it though it isn't in its row (a network's subnets, a group's rules).

    A thing that is in no table (an availability zone) needs neither an id nor a project.
    """

    thing: msgspec.Struct
    extras: Mapping[str, object] = {}

    @property
    def id(self) -> str:
        return str(getattr(self.thing, "id", ""))

    @property
    def project_id(self) -> str:
        return str(getattr(self.thing, "project_id", ""))


def as_it_is(value: Any) -> object:
    """Shown as it is kept."""
    return value


def when(value: datetime) -> str:
    """Times as Neutron shows them."""
    return value.strftime("%Y-%m-%dT%H:%M:%SZ")


class Attribute(msgspec.Struct, frozen=True, kw_only=True):
    """One attribute.

    `name` is the API's, `field` the struct's (also the key in what an act wants, and in `Shown.extras`). `post` and
    `put` say where it may be given. `filter` turns a query's text into a value to compare the column with; None: not
    filterable by its column. `constant` is shown by everyone and set by no one.
    """

    name: str
    field: str
    check: Check = checks.anything
    post: bool = True
    put: bool = True
    default: object = UNGIVEN
    show: Callable[[Any], object] = as_it_is
    filter: Callable[[str], object] | None = str
    shown: bool = True


class Spec(msgspec.Struct, frozen=True, dict=True):
    """One kind of resource in the API. `path` is its collection in URLs, `plural` the key around lists of it."""

    singular: str
    plural: str
    path: str
    type: type[msgspec.Struct]
    attributes: tuple[Attribute, ...]
    rules: Mapping[str, Rule] = {}
    special_filters: frozenset[str] = frozenset()
    """Filters that need more than comparing a column; the resource knows how."""

    def governed_by(self, rules: Mapping[str, Rule]) -> Self:
        """The same with these rules."""
        return msgspec.structs.replace(self, rules=rules)

    def unwrap(self, body: object) -> tuple[list[dict[str, object]], bool]:
        """The items of a request's body, and whether it was a list. Raises BadRequest."""
        if not isinstance(body, dict | None):
            raise BadRequest("Body contains invalid data")
        body = body or {}
        if self.plural in body and self.singular not in body:
            items = body[self.plural]
            if not isinstance(items, list) or not items:
                raise BadRequest("Resources required")
            if len(items) > MOST_AT_ONCE:
                raise BadRequest(f"{MOST_AT_ONCE} {self.plural} at most can be created in one request.")
            return [self._an_object(item) for item in items], True
        if self.singular not in body:
            raise BadRequest(f"Unable to find '{self.singular}' in request body")
        return [self._an_object(body[self.singular])], False

    def for_create(self, body: Mapping[str, object], actor: Actor) -> dict[str, Any]:
        """Field → checked value, with the defaults; what the act itself chooses is absent. Raises BadRequest."""
        given = _one_project(dict(body))
        self._refuse_unknown(given)
        _require_own_project(given, actor)
        wanted: dict[str, Any] = {}
        for attribute in self.attributes:
            if attribute.name in given:
                if not attribute.post:
                    raise BadRequest(f"Attribute '{attribute.name}' not allowed in POST")
                continue
            if attribute.post and attribute.default is REQUIRED:
                raise BadRequest(f"Failed to parse request. Required attribute '{attribute.name}' not specified")
        for attribute in self.attributes:
            if attribute.name in given:
                wanted[attribute.field] = _checked(attribute, given[attribute.name])
            elif attribute.post and attribute.default is not UNGIVEN:
                wanted[attribute.field] = attribute.default
        wanted.setdefault("project_id", actor.project_id)
        return wanted

    def for_update(self, body: Mapping[str, object], _actor: Actor) -> dict[str, Any]:
        """Field → checked value of what is given. Raises BadRequest."""
        given = dict(body)
        for name in given:
            if name == "tenant_id" or (name in self._by_name and not self._by_name[name].put):
                raise BadRequest(f"Cannot update read-only attribute {name}")
        self._refuse_unknown(given)
        return {
            attribute.field: _checked(attribute, given[attribute.name])
            for attribute in self.attributes
            if attribute.name in given
        }

    def set_fields(self, wanted: Mapping[str, object], act: str) -> list[str]:
        """The names of the rules (`create_network:shared`) that what `wanted` sets beyond the defaults needs."""
        return [
            rule
            for attribute in self.attributes
            if (rule := f"{act}:{attribute.name}") in self.rules
            and attribute.field in wanted
            and (act.startswith("update_") or wanted[attribute.field] != attribute.default)
        ]

    def render(
        self, shown: Shown | msgspec.Struct, actor: Actor, fields: Collection[str] | None = None
    ) -> dict[str, object]:
        """What the API shows of it to this actor; of `fields` only, when there are any."""
        if not isinstance(shown, Shown):
            shown = Shown(shown)
        target = Target(shown.project_id)
        body: dict[str, object] = {}
        for attribute, rule in self._visible:
            if (fields and attribute.name not in fields) or (rule and not rule(actor, target)):
                continue
            if attribute.field in shown.extras:
                value = shown.extras[attribute.field]
            else:
                value = getattr(shown.thing, attribute.field, attribute.default)
            body[attribute.name] = value if attribute.show is as_it_is else attribute.show(value)
        project = self._by_name.get("project_id")
        if (not fields or "tenant_id" in fields) and project is not None and project.shown:
            body["tenant_id"] = shown.project_id
        return body

    def named(self, name: str) -> Attribute | None:
        """The attribute of this API name; `tenant_id` is an old name of `project_id`."""
        return self._by_name.get("project_id" if name == "tenant_id" else name)

    @cached_property
    def _by_name(self) -> dict[str, Attribute]:
        return {attribute.name: attribute for attribute in self.attributes}

    @cached_property
    def _visible(self) -> Sequence[tuple[Attribute, Rule | None]]:
        return [
            (attribute, self.rules.get(f"get_{self.singular}:{attribute.name}"))
            for attribute in self.attributes
            if attribute.shown
        ]

    def _refuse_unknown(self, given: Mapping[str, object]) -> None:
        unknown = [name for name in given if name not in self._by_name]
        if unknown:
            raise BadRequest(f"Unrecognized attribute(s) '{', '.join(unknown)}'")

    def _an_object(self, item: object) -> dict[str, object]:
        # In a bulk request each item may be wrapped once more.
        if isinstance(item, dict) and set(item) == {self.singular}:
            item = item[self.singular]
        if not isinstance(item, dict):
            raise BadRequest("Body contains invalid data")
        return item


def _checked(attribute: Attribute, value: object) -> object:
    try:
        return attribute.check(value)
    except Unfit as unfit:
        raise BadRequest(f"Invalid input for {attribute.name}. Reason: {unfit}.") from None


def _require_own_project(given: Mapping[str, object], actor: Actor) -> None:
    """Only admins and other services make things for somebody else. Raises BadRequest, as Neutron does."""
    if given.get("project_id", actor.project_id) != actor.project_id and not {"admin", "service"} & actor.roles:
        raise BadRequest(
            "Specifying 'project_id' other than the authenticated project in request is not allowed for the current "
            "user."
        )


def _one_project(given: dict[str, object]) -> dict[str, object]:
    """`tenant_id` is an old name of `project_id`. Raises BadRequest when both are given and differ."""
    if "tenant_id" in given:
        tenant = given.pop("tenant_id")
        if given.setdefault("project_id", tenant) != tenant:
            raise BadRequest("'project_id' and 'tenant_id' do not match")
    return given


def boolean_filter(value: str) -> object:
    """A filter on a truth."""
    return checks.boolean(value)


def integer_filter(value: str) -> object:
    """A filter on a number."""
    return checks.integer(value)


def constant(name: str, value: object) -> Attribute:
    """Shown always with this value, settable by nobody."""
    return Attribute(name=name, field=f"constant {name}", post=False, put=False, default=value, filter=None)


def standard(name_default: object = "") -> tuple[Attribute, ...]:
    """What every resource has."""
    read_only: dict[str, Any] = {"post": False, "put": False}
    return (
        Attribute(name="id", field="id", **read_only),
        Attribute(name="name", field="name", check=checks.text(255), default=name_default),
        *standard_unnamed(),
    )


def standard_unnamed() -> tuple[Attribute, ...]:
    """What every resource but its id and name has."""
    read_only: dict[str, Any] = {"post": False, "put": False}
    return (
        Attribute(name="project_id", field="project_id", check=checks.text(255), put=False),
        Attribute(name="description", field="description", check=checks.text(255), default=""),
        Attribute(name="revision_number", field="revision_number", filter=integer_filter, **read_only),
        Attribute(name="created_at", field="created_at", show=when, filter=None, **read_only),
        Attribute(name="updated_at", field="updated_at", show=when, filter=None, **read_only),
    )
