"""Ranges of meter ids lie apart, and what stages make is in them."""

from __future__ import annotations

from suimon.pipeline import meters, numbers
from suimon.pipeline.meters import Range

LINUX_KNOWS = 200_000


def test_no_two_ranges_overlap_whatever_number_is_given() -> None:
    host = {value for name, value in vars(meters).items() if name.isupper() and isinstance(value, int)}
    largest = {
        Range.NUMBERED: numbers.LAST["meter"],
        Range.COMPLAINTS: numbers.LAST["port"],
        Range.AGENT: numbers.LAST["port"],
        Range.SERVICES: numbers.LAST["port"],
        Range.HOST: max(host) - Range.HOST,
    }
    starts = sorted(Range)
    for start, following in zip(starts, [*starts[1:], LINUX_KNOWS], strict=True):
        assert start & largest[start] == 0, f"{start.name}: a number changes the bits of the range"
        assert start + largest[start] < following, f"{start.name} runs into what follows it"
    assert all(start in meters.OURS for start in starts)
    assert len(host) == 5 and min(host) >= Range.HOST


def test_what_an_older_release_gave_beyond_a_range_is_given_anew() -> None:
    older = numbers.Dump({"port": {"a": 0x8001, "b": 7}}, {"port": 0x8001})
    given_out = numbers.Numbers(older)
    assert given_out.get("port", "b") == 7
    assert 0 < given_out.get("port", "a") <= numbers.LAST["port"]
