"""The guard: what may happen to a view unasked, what is held, and how it is let through or forgotten."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suimon.agent.held_view import Guard, View, changes
from suimon.model.view import Delta, Network, Peer, Position, Snapshot, Subnet, key


def network(name):
    return Network(name, "vxlan", 7, None, 1450)


def peers(count, net="n"):
    return tuple(Peer(f"p{n}", net, "02:00:00:00:00:01", (), "h2", None) for n in range(count))


def at(revision, epoch=1, store="s"):
    return Position(store, epoch, revision)


def guard(*things, position=None):
    return Guard(View(position or at(10), {key(thing): thing for thing in things}))


def test_the_first_snapshot_is_taken():
    first = Guard(View())
    result = first.take(Snapshot(at(3), (network("n"),)))
    assert result.changed == (network("n"),)
    assert (first.view.position, first.held) == (at(3), "")


def test_a_delta_drops_scopes_then_deletes_then_sets():
    stays, goes, comes = network("stays"), network("goes"), Subnet("s", "dropped", "10.0.0.0/24", None, True)
    old = Subnet("old", "dropped", "10.0.0.0/24", None, True)
    held = guard(stays, goes, old)
    result = held.take(Delta(at(11), ("network:dropped",), (("network", "goes"), ("network", "unknown")), (comes,)))
    assert set(result.deleted) == {("network", "goes"), ("subnet", "old")}
    assert set(held.view.objects) == {("network", "stays"), ("subnet", "s")}


def test_an_object_that_is_dropped_and_told_again_unchanged_is_no_change():
    held = guard(network("n"))
    result = held.take(Delta(at(11), dropped=("network:n",), objects=(network("n"),)))
    assert (result.deleted, result.changed) == ((), ())


@pytest.mark.parametrize(
    ("position", "words"),
    [
        (at(10, store="other"), "another store"),
        (at(99, epoch=0), "older epoch"),
        (at(9), "older"),
    ],
)
def test_a_snapshot_that_does_not_continue_ours_is_held(position, words):
    held = guard(network("n"))
    assert held.take(Snapshot(position, (network("n"),))) is None
    assert words in held.held
    assert held.view.position == at(10)
    assert ("network", "n") in held.view.objects


def test_a_new_epoch_of_our_store_is_taken_if_it_deletes_nothing():
    held = guard(network("n"))
    assert held.take(Snapshot(at(2, epoch=2), (network("n"), network("m")))) is not None
    assert held.view.position == at(2, epoch=2)


def test_a_new_epoch_that_lacks_anything_is_held():
    held = guard(network("n"), network("m"))
    assert held.take(Snapshot(at(2, epoch=2), (network("n"),))) is None
    assert "restored store" in held.held
    assert held.view.position == at(10)


@pytest.mark.parametrize(
    ("before", "after", "is_held"),
    [(100, 81, False), (100, 80, True), (19, 0, False), (20, 0, True), (1000, 950, False), (1000, 949, True)],
)
def test_a_snapshot_may_delete_five_percent_or_less_than_twenty(before, after, is_held):
    held = guard(*peers(before))
    held.take(Snapshot(at(11), peers(after)))
    assert bool(held.held) is is_held
    assert len(held.view.objects) == (before if is_held else after)


def test_a_snapshot_that_the_operator_accepted_is_taken_whatever_it_deletes():
    held = guard(*peers(50))
    held.take(Snapshot(at(3, store="new"), ()))
    assert held.held
    assert len(held.take(Snapshot(at(3, store="new"), (), accepted=True)).deleted) == 50
    assert held.held == ""


def test_a_delta_may_delete_everything_because_the_log_says_so():
    held = guard(*peers(100))
    assert len(held.take(Delta(at(11), dropped=("peers:n",))).deleted) == 100
    assert held.held == ""


def test_what_is_accepted_has_the_deltas_that_came_meanwhile():
    held = guard(*peers(50))
    held.take(Snapshot(at(3, store="new"), ()))
    assert held.take(Delta(at(4, store="new"), objects=(network("late"),))) is None
    assert len(held.view.objects) == 50
    result = held.accept()
    assert len(result.deleted) == 50
    assert result.changed == (network("late"),)
    assert (held.view.position, held.held) == (at(4, store="new"), "")
    assert held.accept() is None, "there is nothing to accept twice"


def test_a_controller_that_thinks_better_of_it_lifts_the_hold():
    held = guard(*peers(50))
    held.take(Snapshot(at(3, store="new"), ()))
    held.alive()
    assert held.held, "a ping of the stream that sent it changes nothing"
    held.connected()
    assert held.held, "a new stream says nothing yet"
    held.alive()
    assert held.held == ""
    assert held.accept() is None
    assert held.take(Delta(at(11), deleted=(("peer", "p1"),))) is not None


def test_a_delta_before_any_snapshot_is_held():
    held = Guard(View())
    assert held.take(Delta(at(1), objects=(network("n"),))) is None
    assert held.view.position is None


_names = st.sets(st.sampled_from("abcdef"))


@given(_names, _names)
def test_a_snapshot_leads_to_exactly_what_it_says(before, after):
    view = View(at(1), {key(network(name)): network(name) for name in before})
    frame = Snapshot(at(2), tuple(map(network, sorted(after))))
    result = changes(view, frame)
    assert set(view.after(result).objects) == {("network", name) for name in after}
    assert {name for _, name in result.deleted} == before - after
    assert {each.id for each in result.changed} == after - before


def test_a_delta_costs_by_what_it_says_and_not_by_what_is_held():
    held = guard(*peers(1000))
    objects = held.view.objects
    held.take(Delta(at(11), deleted=(("peer", "p1"),), objects=(network("n"),)))
    assert held.view.objects is objects
    assert len(objects) == 1000
