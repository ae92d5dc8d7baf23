"""What records stand for."""

import numpy as np
import pytest

from suimon.model.records import RECORD, Arena, batch_of, joined, numbers_of, pieces, scaled, some

WRITTEN = frozenset({"bytes", "packets"})


def test_an_unknown_sampling_counts_as_reported() -> None:
    batch = batch_of(2)
    batch["packets"], batch["sampling"] = 5, [0, 64]
    assert scaled(batch, "packets").tolist() == [5, 320]


def test_records_are_joined_and_chosen_whole() -> None:
    batch = batch_of(6)
    batch["begun"], batch["destination_mac"], batch["port"] = np.arange(6) / 2, np.arange(6) << 40, np.arange(6) - 1
    rows = batch.rows()
    parts = [batch[:1], batch[1:1], batch[1:]]
    assert [len(each) for each in parts] == [1, 0, 5]
    assert joined(parts).rows().tolist() == rows.tolist() and joined(parts[:1]) is parts[0]
    for which in (np.array([5, 0, 5]), batch["begun"] > 1.0):
        assert some(batch, which).rows().tolist() == rows[which].tolist()
    assert all(joined(parts)[name].flags.c_contiguous for name in RECORD.names or ())


def test_pieces_have_all_records_in_order() -> None:
    batch = batch_of(11)
    batch["bytes"] = np.arange(11)
    neighbours = [batch[:2], batch[2:2], batch[2:3], batch[3:10], batch[10:]]
    apart = [some(each, np.arange(len(each))) for each in neighbours]
    for parts, most, lengths in (
        (neighbours, 1, [1] * 11),
        (neighbours, 3, [3, 3, 3, 2]),
        (neighbours, 11, [11]),
        (neighbours, 12, [11]),
        (apart, 3, [3, 3, 3, 2]),
        (apart, 4, [3, 4, 4]),
        (apart, 8, [3, 8]),
        (apart, 12, [11]),
    ):
        made = list(pieces(parts, most))
        assert [len(each) for each in made] == lengths
        assert [number for each in made for number in each["bytes"].tolist()] == list(range(11))
    assert not list(pieces([batch[:0]], 3))


def test_neighbours_are_joined_where_they_lie() -> None:
    arena = Arena(8)
    first, second, third, large = (arena.batch(length, frozenset(), WRITTEN) for length in (3, 5, 1, 9))
    for number, each in enumerate((first, second, third, large)):
        each["bytes"] = number
    both = joined([first, second])
    both["packets"] = np.arange(8)
    assert first["packets"].tolist() == [0, 1, 2] and second["packets"].tolist() == [3, 4, 5, 6, 7]
    assert joined([batch_of(0), first, large[:0], second]).places().tolist() == both.places().tolist()
    for apart in ([second, first], [first, second[1:]], [first[:2], second], [second, third], [third, large]):
        copied, before = joined(apart), [each["bytes"].tolist() for each in apart]
        assert copied["bytes"].tolist() == [*before[0], *before[1]]
        copied["bytes"] = 9
        assert [each["bytes"].tolist() for each in apart] == before


def test_what_an_arena_gives_is_empty_and_nobody_elses() -> None:
    arena, empty, held = Arena(4), batch_of(2).rows().tolist(), []
    for number in range(5):
        batch = arena.batch(2, frozenset(), frozenset(RECORD.names or ()))
        assert batch.rows().tolist() == empty
        for name in RECORD.names or ():
            batch[name] = number + 1
        held.append(batch)
    assert [each["source_low"].tolist() for each in held] == [[n, n] for n in range(1, 6)]


def test_room_that_was_not_needed_is_what_is_given_next() -> None:
    arena = Arena(6)
    first = arena.first(arena.batch(3, frozenset(), WRITTEN), 1)
    second = arena.first(arena.batch(3, frozenset(), WRITTEN), 3)
    assert [len(first), len(second)] == [1, 3] and first.leads_to(second)
    assert second.leads_to(arena.batch(2, frozenset(), WRITTEN))
    assert second.rows().tolist() == batch_of(3).rows().tolist()
    large = arena.batch(7, frozenset(), WRITTEN)
    large["bytes"] = np.arange(7)
    few = arena.first(large, 2)
    assert few["bytes"].tolist() == [0, 1] and not np.shares_memory(few["bytes"], large["bytes"])
    assert arena.first(large, 7) is large


def test_columns_that_nobody_writes_are_zeros_and_stay_so() -> None:
    arena, names = Arena(4), {*(RECORD.names or ())}
    first = arena.batch(2, frozenset({"bytes"}), frozenset({"input"}))
    first["bytes"] = 7
    second = arena.batch(2, frozenset({"bytes"}))
    assert first.leads_to(second), "what was written once has room from then on"
    assert not arena.batch(1, frozenset(), frozenset({"output"})).leads_to(second)
    third = arena.batch(3, frozenset(), frozenset({"bytes", "input"}))
    for batch in (first, second, third):
        for name in names - {"bytes"}:
            assert batch[name].tolist() == [-1 if name == "port" else 0] * len(batch)
        for name in names - {"bytes", "input", "output", "port", "direction"}:
            with pytest.raises(ValueError, match="read-only"):
                batch[name] = 1
    assert third["bytes"].tolist() == [0] * 3
    third["output"] = 1


def test_columns_are_where_is_said() -> None:
    batch = batch_of(9)
    names = RECORD.names or ()
    arena = Arena(8)
    arena.batch(3, WRITTEN)
    for part in (batch, batch[2:], batch[2:][3:5], some(batch, np.array([1, 1])), arena.batch(5, WRITTEN)):
        assert part.places().tolist() == [part[name].ctypes.data for name in names]
        assert part.places(numbers_of("bytes", "begun")).tolist() == [part[n].ctypes.data for n in ("bytes", "begun")]
    for name in names:
        batch[name] = 0
    for number, name in enumerate(names):
        batch[name] = number
    assert [batch[name].tolist() for name in names] == [[number] * 9 for number in range(len(names))]


def test_a_slice_is_the_same_memory_and_a_step_is_refused() -> None:
    batch = batch_of(3)
    batch[1:2]["bytes"] = 7
    assert batch["bytes"].tolist() == [0, 7, 0]
    with pytest.raises(AssertionError):
        batch[::2]
