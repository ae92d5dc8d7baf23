"""Rows go to keys while there are any, then from the longest unused to those of most records."""

import numpy as np

from suimon.detection.choices import Choice, Hash
from suimon.detection.seen import Seen, keys_of
from suimon.detection.table import Table
from tests.detection.traffic import ACK, EPOCH, TCP, flows, records, tags


def given(table: Table, at_s: float, *keys: int, known: bool = False) -> list[int]:
    """The rows of records with these keys, all of one moment."""
    batch = records(flows(0, True, TCP, (ACK,) * 3, begun=np.full(len(keys), at_s), peer=np.array(keys)))
    seen = Seen([batch], tags(1), keys_of(tags(1), 0), EPOCH + at_s + 0.5)
    return list(table.take(seen, table.fold(Choice(0), Hash("peer"), known=known)).of.tolist())


def test_the_longest_unused_row_is_given_away() -> None:
    table = Table(8)
    rows = [row for at_s in range(4) for row in given(table, 20.0 + at_s, 2 * at_s + 1, 2 * at_s + 2)]
    assert sorted(rows) == list(range(8))
    assert given(table, 24.0, 2, 1, 2) == [rows[1], rows[0], rows[1]]
    assert sorted(given(table, 25.0, 9, 10)) == sorted(rows[2:4])
    assert given(table, 25.0, *range(1, 9), known=True) == [*rows[:2], *rows[4:]], "those of 3 and 4 were given away"
    assert len(table) == 8


def test_of_a_flood_of_keys_those_of_most_records_get_rows() -> None:
    table = Table(8)
    rows = given(table, 20.0, 5, 6, 7, 7, 6, 8)
    assert rows[0] == rows[5] == -1
    assert rows[1] == rows[4] != rows[2] == rows[3] and -1 not in rows[1:5]


def test_once_is_not_enough_where_strangers_come() -> None:
    table = Table(8, twice=True)
    assert given(table, 20.0, 5, 6, 6) == [-1, 0, 0]
    assert given(table, 25.0, 5) == [1]
    assert given(table, 40.0, 9) == [-1]
    assert given(table, 51.0, 9) == [-1], "so long ago that it was another"


def test_a_row_that_was_given_away_is_about_another() -> None:
    table, peers = Table(1), []
    for at_s, peer in enumerate((5, 5, 6)):
        batch = records(flows(0, True, TCP, (ACK,) * 3, begun=np.array([20.0 + at_s]), peer=np.array([peer])))
        seen = Seen([batch], tags(1), keys_of(tags(1), 0), EPOCH + 20.5 + at_s)
        table.take(seen, table.fold(Choice(0), Hash("peer")))
        peers.append(table.label(0, seen).peer)
    assert peers[0] == peers[1] != peers[2]
