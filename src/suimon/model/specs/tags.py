"""Tags in the API: short texts that users put on things, and find things by.

`TAGS` is in the spec of each kind that has them: networks, subnets, subnet pools, ports, routers, floating IPs,
security groups, QoS policies, trunks and segment ranges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from suimon.model import checks
from suimon.model.attributes import Attribute
from suimon.model.checks import Unfit
from suimon.model.errors import BadRequest

MAX_TAGS: Final = 50
"""Of one thing, as in Neutron."""
MAX_LENGTH: Final = 255
OPERATORS: Final = "operator:"
"""How the tags begin that only operators give and take: what rules choose and exempt by."""


@checks.takes(
    {"type": "array", "items": {"type": "string", "maxLength": MAX_LENGTH}, "maxItems": MAX_TAGS, "uniqueItems": True}
)
def tag_list(value: object) -> object:
    """Texts without repetition, sorted, as a tuple."""
    if not isinstance(value, list):
        raise Unfit(f"'{value}' is not a list")
    texts = [str(checks.text(MAX_LENGTH)(item)) for item in value]
    doubles = sorted({text for text in texts if texts.count(text) > 1}) if len(set(texts)) < len(texts) else []
    if doubles:
        raise Unfit(f"Duplicate items in the list: '{', '.join(doubles)}'")
    return tuple(sorted(texts))


def require_few(plural: str, tags: Sequence[str]) -> None:
    """Raises BadRequest when they are more than one thing may have."""
    if len(tags) > MAX_TAGS:
        words = f"Bad {plural} request: The number of tags exceed the per-resource limit of {MAX_TAGS}."
        raise BadRequest(words, "BadRequest")


@checks.takes(checks.schema_of(tag_list) or {})
def _a_ports_tags(value: object) -> object:
    tags = tag_list(value)
    assert isinstance(tags, tuple)
    require_few("ports", tags)
    return tags


TAGS: Final = Attribute(name="tags", field="tags", post=False, put=False, default=(), show=list, filter=None)
PORT_TAGS: Final = msgspec.structs.replace(TAGS, post=True, check=_a_ports_tags)
"""Ports may be given theirs when they are made."""
