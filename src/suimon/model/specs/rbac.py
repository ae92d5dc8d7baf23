"""RBAC policies in the API: who may use what isn't his."""

from __future__ import annotations

from typing import Final

from suimon.model import checks, things
from suimon.model.attributes import REQUIRED, Attribute, Spec, standard
from suimon.model.errors import BadRequest

ACTIONS: Final = {
    "network": ("access_as_shared", "access_as_external"),
    "qos_policy": ("access_as_shared",),
    "security_group": ("access_as_shared",),
    "address_scope": ("access_as_shared",),
    "address_group": ("access_as_shared",),
    "subnetpool": ("access_as_shared",),
}
"""Object type → what may be let be done with such an object."""
EVERYBODY: Final = "*"


@checks.takes({"enum": sorted(ACTIONS)})
def _object_type(value: object) -> object:
    kind = value.strip().lower() if isinstance(value, str) else value
    if kind not in ACTIONS:
        raise checks.invalid(f"'{value}' is not a valid RBAC object type")
    return kind


@checks.takes({"anyOf": [{"type": "string", "format": "uuid"}, {"const": EVERYBODY}]})
def _target(value: object) -> object:
    try:
        return value if value == EVERYBODY else checks.uuid(value)
    except checks.Unfit:
        raise checks.invalid(f"'{value}' is not a valid target project ID; expected a UUID or '*'") from None


def require_action(object_type: str, action: str) -> None:
    """Raises BadRequest for what can't be done with such an object."""
    if action not in ACTIONS[object_type]:
        raise BadRequest(
            f"Invalid action '{action}' for object type '{object_type}'. Valid actions: {ACTIONS[object_type]}",
            "InvalidActionForType",
        )


RBAC_POLICY: Final = Spec(
    singular="rbac_policy",
    plural="rbac_policies",
    path="rbac-policies",
    type=things.RbacPolicy,
    attributes=(
        *(attribute for attribute in standard() if attribute.name in ("id", "project_id")),
        Attribute(name="object_type", field="object_type", check=_object_type, put=False, default=REQUIRED),
        Attribute(name="object_id", field="object_id", check=checks.uuid, put=False, default=REQUIRED),
        Attribute(name="action", field="action", check=checks.text(255), put=False, default=REQUIRED),
        Attribute(name="target_tenant", field="target_project", check=_target),
        # The new name is taken and not told, as Neutron does.
        Attribute(name="target_project", field="target_project", check=_target, shown=False),
    ),
)
