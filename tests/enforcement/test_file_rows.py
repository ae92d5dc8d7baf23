"""Files of any content: a table, or an error that says what is wrong."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from suimon.enforcement.file_rows import table_of
from suimon.model.errors import BadRequest

PARTS = (
    *("a", "name", ",", ":int", ":bool", ":float", "\n", '"', "- ", "{", "}", ": ", "[", "]", "1", "true", "null", "é"),
    *("&x ", "*x", "!!int ", "!!bool ", "!!float ", "!!timestamp ", "!!binary ", "!!set ", "!x ", "0x", "1_", "1:2"),
    *("2026-13-99", ".inf", "~", "'", "|\n ", "? ", "#", "%YAML", "\ufeff", "<<"),
)
TEXTS = st.lists(st.sampled_from(PARTS), max_size=40).map("".join).map(str.encode)


@given(content=st.one_of(st.binary(max_size=200), TEXTS, TEXTS.map(b"- {a: ".__add__)))
@example(b"!!int")
@example(b"- {a: !!bool x}")
@example(b"- {a: !!timestamp x}")
@example(b"- {a: !!float ''}")
def test_any_bytes_are_a_table_or_refused(content: bytes) -> None:
    for name in ("a.csv", "a.yaml"):
        try:
            columns, rows = table_of(name, content)
        except BadRequest as error:
            assert error.message
            continue
        assert columns and all(len(row) == len(columns) for row in rows)
        assert all(isinstance(value, str | int | float | None) for row in rows for value in row)
