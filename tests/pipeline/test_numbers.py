import pytest
from hypothesis import given
from hypothesis import strategies as st

from suimon.pipeline import numbers
from suimon.pipeline.numbers import Numbers

STEPS = st.lists(st.tuples(st.sampled_from(["get", "free"]), st.sampled_from("abcdefg")), max_size=60)


@given(STEPS)
def test_no_two_names_share_a_number_and_a_name_keeps_its_own(steps: list[tuple[str, str]]) -> None:
    given_out = Numbers()
    held: dict[str, int] = {}
    for step, name in steps:
        if step == "free":
            assert given_out.free("port", name) == held.pop(name, None)
        else:
            assert given_out.get("port", name) == held.setdefault(name, given_out.get("port", name))
        assert len(set(held.values())) == len(held)
        assert given_out.dump().used["port"] == held


@given(STEPS)
def test_what_was_kept_goes_on_after_a_restart(steps: list[tuple[str, str]]) -> None:
    before = Numbers()
    for step, name in steps:
        before.get("port", name) if step == "get" else before.free("port", name)
    after = Numbers(before.dump())
    assert [after.get("port", name) for name in "abcdefg"] == [before.get("port", name) for name in "abcdefg"]


def test_a_freed_number_waits_until_it_is_flushed_and_all_others_were_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(numbers.LAST, "port", 3)
    given_out = Numbers()
    assert [given_out.get("port", name) for name in "ab"] == [1, 2]
    given_out.free("port", "a")
    assert given_out.get("port", "c") == 3
    with pytest.raises(OverflowError):
        Numbers(given_out.dump()).get("port", "d")
    given_out.flushed(1)
    assert given_out.get("port", "d") == 1
    with pytest.raises(OverflowError, match="all 3 numbers for a port"):
        given_out.get("port", "e")


def test_every_change_is_counted() -> None:
    given_out = Numbers()
    given_out.get("set", "x")
    given_out.get("set", "x")
    given_out.free("set", "x")
    given_out.free("set", "x")
    assert given_out.changes == 2
