"""What of a few things in hand a query asks for."""

from typing import Any

import msgspec
import pytest

from suimon.model.attributes import Attribute, Shown, Spec, integer_filter
from suimon.model.errors import NotFound
from suimon.model.query import cut, parse_query


class Zone(msgspec.Struct, frozen=True):
    id: str
    name: str | None
    size: int


SPEC = Spec(
    singular="zone",
    plural="zones",
    path="zones",
    type=Zone,
    attributes=(
        Attribute(name="id", field="id"),
        Attribute(name="name", field="name"),
        Attribute(name="zone:size", field="size", filter=integer_filter),
        Attribute(name="state", field="state", default="up"),
    ),
)
ZONES = [
    Shown(Zone("1", "b", 2)),
    Shown(Zone("2", "A", 1), {"state": "down"}),
    Shown(Zone("3", None, 2)),
    Shown(Zone("4", "a", 1)),
]


def ids(**asked: Any) -> str:
    pairs = [
        (key.replace("__", ":"), one)
        for key, value in asked.items()
        for one in (value if isinstance(value, list) else [value])
    ]
    return "".join(shown.id for shown in cut(SPEC, ZONES, parse_query(SPEC, pairs)))


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, "1234"),
        ({"name": "a"}, "4"),
        ({"name": ["a", "b"]}, "14"),
        ({"zone__size": "1", "name": "A"}, "2"),
        ({"state": "down"}, "2"),
        ({"state": "up"}, "134"),
        ({"sort_key": "name", "sort_dir": "asc"}, "3241"),
        ({"sort_key": "name", "sort_dir": "desc"}, "1243"),
        ({"sort_key": ["zone:size", "id"], "sort_dir": ["desc", "desc"]}, "3142"),
        ({"limit": "3"}, "123"),
        ({"limit": "2", "marker": "2"}, "34"),
        ({"limit": "2", "marker": "4"}, ""),
        ({"marker": "1"}, "234"),
        ({"limit": "2", "page_reverse": "True"}, "34"),
        ({"limit": "2", "page_reverse": "True", "marker": "4"}, "23"),
        ({"limit": "2", "page_reverse": "True", "marker": "2"}, "1"),
        ({"page_reverse": "True", "marker": "3"}, "12"),
    ],
)
def test_what_is_asked_for(asked: dict[str, Any], found: str) -> None:
    assert ids(**asked) == found


def test_a_marker_that_is_not_there() -> None:
    with pytest.raises(NotFound, match="zone 9 could not be found"):
        ids(marker="9")
    with pytest.raises(NotFound):
        ids(marker="1", name="a")


def test_a_thing_without_identity_can_be_shown() -> None:
    shown = Shown(Zone("1", "b", 2))
    assert (shown.id, shown.project_id) == ("1", "")
