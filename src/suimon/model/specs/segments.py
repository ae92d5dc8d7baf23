"""Segments of networks, and the ranges of segment ids that operators set aside, in the API."""

from __future__ import annotations

from typing import Any, Final

from suimon.model import checks, things
from suimon.model.attributes import REQUIRED, Attribute, Spec, boolean_filter, integer_filter, standard
from suimon.model.checks import Unfit
from suimon.model.specs.tags import TAGS

_READ_ONLY: Final[dict[str, Any]] = {"post": False, "put": False}
_MOST: Final = (1 << 32) - 1
"""What Neutron takes: the largest id of any type, which is GRE's."""


@checks.takes({"type": "integer", "minimum": 1, "maximum": _MOST})
def _segment_id(value: object) -> object:
    number = checks.integer(value)
    assert isinstance(number, int)
    if number < 1:
        raise Unfit(f"'{number}' is too small - must be at least '1'")
    if number > _MOST:
        raise Unfit(f"'{number}' is too large - must be no larger than '{_MOST}'")
    return number


@checks.takes({"type": ["string", "null"], "maxLength": 255})
def _words(value: object) -> object:
    """A text; nothing is the empty one, and the other way round when it is shown."""
    return "" if value is None else checks.text(255)(value)


def _or_none(value: str) -> str | None:
    return value or None


SEGMENT: Final = Spec(
    singular="segment",
    plural="segments",
    path="segments",
    type=things.NetworkSegment,
    attributes=(
        *(
            attribute
            for attribute in standard(name_default=None)
            if attribute.name not in ("name", "project_id", "tags", "description")
        ),
        Attribute(name="name", field="name", check=_words, default="", show=_or_none),
        Attribute(name="description", field="description", check=_words, default="", show=_or_none),
        Attribute(name="network_id", field="network_id", check=checks.uuid, put=False, default=REQUIRED),
        Attribute(name="network_type", field="network_type", check=checks.text(32), put=False, default=REQUIRED),
        Attribute(name="physical_network", field="physnet", check=checks.optional(checks.text(64)), put=False),
        Attribute(
            name="segmentation_id",
            field="segment",
            check=checks.optional(checks.integer),
            put=False,
            filter=integer_filter,
        ),
    ),
)
NETWORK_SEGMENT_RANGE: Final = Spec(
    singular="network_segment_range",
    plural="network_segment_ranges",
    path="network-segment-ranges",
    type=things.NetworkSegmentRange,
    attributes=(
        *standard(),
        TAGS,
        Attribute(name="default", field="default", filter=boolean_filter, **_READ_ONLY),
        Attribute(name="shared", field="shared", check=checks.boolean, put=False, default=True, filter=boolean_filter),
        Attribute(
            name="network_type",
            field="network_type",
            check=checks.one_of(("vlan", "vxlan", "gre", "geneve")),
            put=False,
            default=REQUIRED,
        ),
        Attribute(
            name="physical_network", field="physnet", check=checks.optional(checks.text(64)), put=False, default=None
        ),
        Attribute(name="minimum", field="minimum", check=_segment_id, default=REQUIRED, filter=integer_filter),
        Attribute(name="maximum", field="maximum", check=_segment_id, default=REQUIRED, filter=integer_filter),
        Attribute(name="used", field="used", filter=None, **_READ_ONLY),
        Attribute(name="available", field="available", filter=None, **_READ_ONLY),
    ),
)
