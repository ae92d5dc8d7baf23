"""Trunks and their subports in the API."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from suimon.model import checks, things
from suimon.model.attributes import REQUIRED, Attribute, Spec, boolean_filter, standard
from suimon.model.checks import Schema, Unfit, takes
from suimon.model.specs.tags import TAGS

MAX_SUBPORTS: Final = 4094
INHERIT: Final = "inherit"
_SCHEMA: Final[Schema] = {
    "type": "array",
    "maxItems": MAX_SUBPORTS,
    "items": {
        "type": "object",
        "properties": {
            "port_id": {"type": "string", "format": "uuid"},
            "segmentation_type": {"enum": ["vlan", INHERIT]},
            "segmentation_id": {"type": "integer", "minimum": 1, "maximum": 4094},
        },
        "required": ["port_id"],
    },
}


class WantedSubport(msgspec.Struct, frozen=True):
    """As it was given: what is missing may be inherited from the port's network, or isn't needed to remove it."""

    port_id: str
    segmentation_type: object = None
    segmentation_id: object = None
    given: object = None


@takes(_SCHEMA)
def sub_ports(value: object) -> object:
    """A list of {port_id, segmentation_type, segmentation_id} as a tuple of WantedSubport."""
    if not isinstance(value, list):
        raise Unfit(f"Invalid data format for subports: '{value}' is not a list")
    if len(value) > MAX_SUBPORTS:
        raise Unfit(f"A trunk has {MAX_SUBPORTS} subports at most")
    ports: set[str] = set()
    segments: set[tuple[str, str]] = set()
    wanted = []
    for item in value:
        one = _subport(item)
        if one.port_id in ports:
            raise Unfit(f"Non unique UUID for subport: '{one.port_id}'")
        ports.add(one.port_id)
        if one.segmentation_type != INHERIT and len(item) > 1:
            segment = _segment(one)
            if segment in segments:
                raise Unfit(f"Segmentation ID '{one.segmentation_id}' for '{one.port_id}' is not unique")
            segments.add(segment)
        wanted.append(one)
    return tuple(wanted)


def _subport(item: Any) -> WantedSubport:
    if not isinstance(item, dict):
        raise Unfit(f"Invalid data format for subport: '{item}' is not a dict")
    if "port_id" not in item:
        raise Unfit("A valid port UUID must be specified")
    try:
        port_id = str(checks.uuid(item["port_id"]))
    except Unfit:
        raise Unfit(f"Invalid UUID for subport: '{item['port_id']}'") from None
    return WantedSubport(port_id, item.get("segmentation_type"), item.get("segmentation_id"), item)


def _segment(one: WantedSubport) -> tuple[str, str]:
    if not one.segmentation_type or one.segmentation_id is None:
        raise Unfit(
            f"Invalid subport details '{one.given}': missing segmentation information. Must specify both "
            "segmentation_id and segmentation_type"
        )
    return str(one.segmentation_type), str(one.segmentation_id)


TRUNK: Final = Spec(
    singular="trunk",
    plural="trunks",
    path="trunks",
    type=things.Trunk,
    attributes=(
        *standard(),
        TAGS,
        Attribute(
            name="admin_state_up", field="admin_state_up", check=checks.boolean, default=True, filter=boolean_filter
        ),
        Attribute(name="port_id", field="port_id", check=checks.uuid, put=False, default=REQUIRED),
        Attribute(name="sub_ports", field="sub_ports", check=sub_ports, put=False, default=(), show=list, filter=None),
        Attribute(name="status", field="status", post=False, put=False),
    ),
)
