"""Logging resources in the API."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from suimon.model import checks, things
from suimon.model.attributes import REQUIRED, Attribute, Spec, boolean_filter, standard

LOGGABLE: Final = ("security_group",)
"""The kinds of resources that may be named in a log."""
EVENTS: Final = ("ACCEPT", "DROP", "ALL")


class LoggableResource(msgspec.Struct, frozen=True):
    """A kind of resource that a log may be about."""

    type: str


def _once(name: str, check: checks.Check, default: object) -> Attribute:
    more: dict[str, Any] = {"check": check, "default": default, "put": False}
    return Attribute(name=name, field=name, **more)


LOG: Final = Spec(
    singular="log",
    plural="logs",
    path="log/logs",
    type=things.Log,
    attributes=(
        *standard(),
        _once("resource_type", checks.text(255), REQUIRED),
        _once("resource_id", checks.optional(checks.uuid), None),
        _once("target_id", checks.optional(checks.uuid), None),
        _once("event", checks.one_of(EVENTS), "ALL"),
        Attribute(name="enabled", field="enabled", check=checks.boolean, default=True, filter=boolean_filter),
    ),
)
LOGGABLE_RESOURCE: Final = Spec(
    singular="loggable_resource",
    plural="loggable_resources",
    path="log/loggable-resources",
    type=LoggableResource,
    attributes=(Attribute(name="type", field="type", post=False, put=False),),
)
