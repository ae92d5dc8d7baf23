"""What a list request asks for: filters, order, page, fields."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from suimon.model import checks
from suimon.model.attributes import Shown, Spec
from suimon.model.errors import BadRequest, NotFound

CHANGED_SINCE: Final = "changed_since"
"""A filter that everything has: what was made or changed at this time or later."""
TAG_FILTERS: Final = frozenset({"tags", "tags-any", "not-tags", "not-tags-any"})
"""Filters of everything that has tags."""
_PAGING = frozenset({"fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir"})


class Query(msgspec.Struct, frozen=True):
    """`filters` maps an attribute's API name to the texts of which one has to match; `sort` is (API name, descending)
    pairs.

    `limit` None means all. With `reverse` the page is the one before `marker`, still in the order of `sort`.
    """

    filters: dict[str, list[str]] = {}
    fields: tuple[str, ...] = ()
    sort: tuple[tuple[str, bool], ...] = ()
    limit: int | None = None
    marker: str | None = None
    reverse: bool = False


def parse_query(spec: Spec, pairs: Iterable[tuple[str, str]]) -> Query:
    """From the query's (key, value) pairs in order. Raises BadRequest in Neutron's words."""
    given: dict[str, list[str]] = {}
    for key, value in pairs:
        given.setdefault(key, []).append(value)
    filters = {key: values for key, values in given.items() if key not in _PAGING}
    unknown = [key for key in filters if key not in spec.special_filters and not _filterable(spec, key)]
    if unknown:
        raise BadRequest(f"{unknown} is invalid attribute for filtering")
    return Query(
        filters=filters,
        fields=tuple(field for field in given.get("fields", ()) if field),
        sort=_sort(spec, given.get("sort_key", []), given.get("sort_dir", [])),
        limit=_limit(given.get("limit", ["0"])[-1]),
        marker=given.get("marker", [None])[-1] or None,
        reverse=bool(checks.boolean(given.get("page_reverse", ["false"])[-1])),
    )


def cut(spec: Spec, found: Iterable[Shown], query: Query) -> list[Shown]:
    """Of a few things in hand those that a query asks for, in its order. Raises BadRequest, NotFound for the marker."""
    wanted = {
        name: [attribute.filter(text) for text in texts]
        for name, texts in query.filters.items()
        if (attribute := spec.named(name)) and attribute.filter
    }
    kept = [one for one in found if all(_value(spec, one, name) in values for name, values in wanted.items())]
    for name, descending in reversed(query.sort):
        kept.sort(key=lambda one: _order(_value(spec, one, name)), reverse=descending)
    at = None
    if query.marker is not None:
        at = next((n for n, one in enumerate(kept) if one.id == query.marker), None)
        if at is None:
            raise NotFound(f"{spec.singular} {query.marker} could not be found.")
    if query.reverse:
        before = kept[: len(kept) if at is None else at]
        return before[-query.limit :] if query.limit else before
    behind = kept[0 if at is None else at + 1 :]
    return behind[: query.limit]


def _value(spec: Spec, shown: Shown, name: str) -> Any:
    attribute = spec.named(name)
    assert attribute is not None
    if attribute.field in shown.extras:
        return shown.extras[attribute.field]
    return getattr(shown.thing, attribute.field, attribute.default)


def _order(value: object) -> tuple[bool, str | int]:
    """What is not there comes first, and texts are in the order in which people read them."""
    return (value is not None, value if isinstance(value, int) else str(value or "").lower())


def _filterable(spec: Spec, name: str) -> bool:
    attribute = spec.named(name)
    if name == CHANGED_SINCE:
        return spec.named("updated_at") is not None
    if name in TAG_FILTERS:
        return spec.named("tags") is not None
    return attribute is not None and attribute.filter is not None


def _sort(spec: Spec, keys: list[str], directions: list[str]) -> tuple[tuple[str, bool], ...]:
    if len(keys) != len(directions):
        raise BadRequest("The number of sort_keys and sort_dirs must be same")
    wrong = [direction for direction in directions if direction not in ("asc", "desc")]
    if wrong:
        raise BadRequest(f"{wrong} is invalid value for sort_dirs, valid value is 'asc' and 'desc'")
    columns = spec.type.__struct_fields__
    unknown = [key for key in keys if (attribute := spec.named(key)) is None or attribute.field not in columns]
    if unknown:
        raise BadRequest(f"{unknown} is invalid attribute for sort keys")
    # A key that comes again decides nothing, and what is behind a marker grows with the square of their number.
    first: dict[str, bool] = {}
    for key, direction in zip(keys, directions, strict=True):
        first.setdefault(key, direction == "desc")
    return tuple(first.items())


def _limit(text: str) -> int | None:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise BadRequest(f"Bad limit request: Limit must be an integer 0 or greater and not '{text}'.", "BadRequest")
    return int(text) or None
