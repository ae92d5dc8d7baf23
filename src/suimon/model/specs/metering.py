"""Metering labels and their rules in the API."""

from __future__ import annotations

from typing import Final

from suimon.model import checks, things
from suimon.model.attributes import REQUIRED, Attribute, Spec, boolean_filter
from suimon.model.errors import BadRequest

_ID: Final = Attribute(name="id", field="id", post=False, put=False)
_PROJECT: Final = Attribute(name="project_id", field="project_id", check=checks.text(255), put=False)


def _prefix(name: str) -> Attribute:
    """A network, or an address, which is a network of one; its host bits are cleared."""

    @checks.takes({"type": ["string", "null"], "format": "cidr"})
    def check(value: object) -> object:
        if value is None:
            return None
        text = f"{value}/{128 if ':' in value else 32}" if isinstance(value, str) and "/" not in value else value
        try:
            return str(checks.parse_cidr(text))
        except checks.Unfit as unfit:
            raise BadRequest(f"{name}: {value} is invalid [{unfit}].", "Invalid") from None

    return Attribute(name=name, field=name, check=check, put=False, default=None)


METERING_LABEL: Final = Spec(
    singular="metering_label",
    plural="metering_labels",
    path="metering/metering-labels",
    type=things.MeteringLabel,
    attributes=(
        _ID,
        Attribute(name="name", field="name", check=checks.text(255), put=False, default=""),
        _PROJECT,
        Attribute(name="description", field="description", check=checks.text(1024), put=False, default=""),
        Attribute(name="shared", field="shared", check=checks.boolean, put=False, default=False, filter=boolean_filter),
    ),
)
METERING_LABEL_RULE: Final = Spec(
    singular="metering_label_rule",
    plural="metering_label_rules",
    path="metering/metering-label-rules",
    type=things.MeteringLabelRule,
    attributes=(
        _ID,
        _PROJECT,
        Attribute(name="metering_label_id", field="metering_label_id", check=checks.uuid, put=False, default=REQUIRED),
        Attribute(
            name="direction",
            field="direction",
            check=checks.one_of(("ingress", "egress")),
            put=False,
            default=REQUIRED,
        ),
        Attribute(
            name="excluded", field="excluded", check=checks.boolean, put=False, default=False, filter=boolean_filter
        ),
        _prefix("remote_ip_prefix"),
        _prefix("source_ip_prefix"),
        _prefix("destination_ip_prefix"),
    ),
)
