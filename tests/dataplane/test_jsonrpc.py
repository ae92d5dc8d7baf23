"""Objects come out of the stream whole, however it is cut, and a hostile stream ends in an error, not in memory."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suimon.dataplane.jsonrpc import Framer

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
documents = st.lists(st.dictionaries(st.text(), values, max_size=3), max_size=4)


@given(documents, st.lists(st.integers(1, 40), min_size=1, max_size=8), st.booleans())
def test_any_cut_gives_the_same_objects(wanted: list[dict[str, object]], cuts: list[int], ascii_only: bool) -> None:
    stream = b"".join(json.dumps(one, ensure_ascii=ascii_only).encode(errors="surrogatepass") for one in wanted)
    framer, found, at, turn = Framer(1 << 20), list[bytes](), 0, 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        found += framer.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert [json.loads(text) for text in found] == wanted


def test_an_endless_object_is_refused() -> None:
    framer = Framer(1000)
    with pytest.raises(ValueError, match="more than 1000 bytes"):
        for _ in range(100):
            framer.feed(b'{"a": "' + b"x" * 100)


def test_a_stream_that_is_no_json_is_refused() -> None:
    with pytest.raises(ValueError, match="closing brace"):
        Framer(1000).feed(b"}{")
