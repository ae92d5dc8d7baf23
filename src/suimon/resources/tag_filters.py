"""Lists by tags, as conditions on the column that keeps a thing's tags as a JSON list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import Column, ColumnElement, and_, func, or_

from suimon.model.errors import BadRequest

_MOST: Final = 100
"""Tags of one filter: each is a condition, and databases take only so many."""


def by_tags(column: Column[str], name: str, texts: Sequence[str]) -> ColumnElement[bool]:
    """`tags` and `not-tags` ask for all of them, `tags-any` and `not-tags-any` for any; a comma parts tags, too."""
    tags = sorted({tag for text in texts for tag in text.split(",")})
    if len(tags) > _MOST:
        raise BadRequest(f"At most {_MOST} tags can be asked for by {name}.")
    combined = (or_ if name.endswith("any") else and_)(*(_has(column, tag) for tag in tags))
    return ~combined if name.startswith("not-") else combined


def _has(column: Column[str], tag: str) -> ColumnElement[bool]:
    """Whether the list has it. Quotes inside of a text are escaped, so a bare one behind `[` or `,` begins a text.

    By `replace`, because LIKE knows no case on SQLite, and the functions that find a text differ.
    """
    text = msgspec.json.encode(tag).decode()
    return or_(func.replace(column, f"[{text}", "") != column, func.replace(column, f",{text}", "") != column)
