"""The laws of reconciliation: plan is a diff, applying converges from anywhere, a refused owner hurts only itself."""

import asyncio
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suimon.reconcile import Changes, Config, Failure, Reconciler, plan

worlds = st.dictionaries(st.integers(0, 8), st.integers(0, 3))
owners = st.dictionaries(st.sampled_from("abcd"), worlds)


class Memory:
    """A target in memory. It refuses the keys of `bad`, as an atomic one or key by key, and can die after n changes."""

    def __init__(self, world: Mapping[object, int], bad: frozenset[object] = frozenset(), atomic: bool = True) -> None:
        self.world, self.bad, self.atomic = dict(world), bad, atomic
        self.dies_after: int | None = None
        self.batches: list[Changes[object, int]] = []

    async def observe(self) -> Mapping[object, int]:
        return dict(self.world)

    async def apply(self, changes: Changes[object, int]) -> Mapping[object, Failure]:
        self.batches.append(changes)
        refused = {key: Failure("bad key") for key in changes.set if key in self.bad}
        if refused and self.atomic:
            return {key: refused.get(key, Failure("held back", blamed=False)) for key in changes.keys}
        for count, key in enumerate(changes.keys):
            if count == self.dies_after:
                raise ConnectionResetError("switch went away")
            if key in changes.set:
                if key not in refused:
                    self.world[key] = changes.set[key]
            else:
                del self.world[key]
        return refused


def applied(world: dict[int, int], changes: Changes[int, int]) -> dict[int, int]:
    return {key: value for key, value in world.items() if key not in changes.delete} | changes.set


@given(worlds)
def test_nothing_to_do_when_equal(world: dict[int, int]) -> None:
    assert plan(world, world).empty


@given(worlds, worlds)
def test_applying_the_plan_gives_desired_and_twice_is_once(desired: dict[int, int], actual: dict[int, int]) -> None:
    changes = plan(desired, actual)
    once = applied(actual, changes)
    assert once == desired
    assert applied(once, changes) == once
    assert plan(desired, once).empty
    assert not set(changes.set) & set(changes.delete)


def test_a_value_of_none_is_not_an_absent_key() -> None:
    assert plan({"key": None}, {}).set == {"key": None}


def reconciler(target: Memory, clock: list[float]) -> Reconciler[str, object, int]:
    return Reconciler(
        Config(first_pause_s=1.0, longest_pause_s=4.0), target, jitter=lambda: 1.0, clock=lambda: clock[0]
    )


def keyed(owner: str, world: Mapping[int, int]) -> dict[object, int]:
    return {(owner, key): value for key, value in world.items()}


@given(owners, owners, worlds, st.integers(0, 12))
def test_a_crash_after_any_prefix_then_a_restart_converges(
    before: dict[str, dict[int, int]], after: dict[str, dict[int, int]], stray: dict[int, int], prefix: int
) -> None:
    async def scenario() -> None:
        start = {key: value for owner, world in before.items() for key, value in keyed(owner, world).items()}
        target = Memory(start | keyed("stray", stray))
        target.dies_after = prefix
        for _ in range(2):  # the second one is the restarted process: same wishes, a world in any state
            loop = reconciler(target, [0.0])
            for owner, world in after.items():
                loop.want(owner, keyed(owner, world))
            try:
                await loop.observe()
                await loop.round()
            except ConnectionResetError:
                pass
            target.dies_after = None
        wanted = {key: value for owner, world in after.items() for key, value in keyed(owner, world).items()}
        assert target.world == wanted == loop.actual

    asyncio.run(scenario())


@given(st.lists(st.tuples(st.sampled_from("abcd"), worlds), max_size=12), st.booleans())
def test_rounds_after_any_wishes_end_where_the_last_wishes_are(
    wishes: list[tuple[str, dict[int, int]]], observed_again: bool
) -> None:
    async def scenario() -> None:
        target = Memory({})
        loop = reconciler(target, [0.0])
        await loop.observe()
        for owner, world in wishes:
            loop.want(owner, keyed(owner, world))
            await loop.round()
        if observed_again:
            await loop.observe()
            await loop.round()
        assert target.world == {k: v for owner, world in dict(wishes).items() for k, v in keyed(owner, world).items()}
        quiet = len(target.batches)
        await loop.observe()
        await loop.round()
        assert len(target.batches) == quiet, "a restart with nothing changed must send nothing"

    asyncio.run(scenario())


@given(st.booleans(), st.sets(st.sampled_from("abcd")))
def test_a_refused_owner_keeps_its_old_entries_and_the_others_go_on(atomic: bool, bad: set[str]) -> None:
    async def scenario() -> None:
        target = Memory({}, frozenset((owner, 2) for owner in bad), atomic)
        loop = reconciler(target, [0.0])
        await loop.observe()
        for owner in "abcd":
            loop.want(owner, keyed(owner, {1: 1}))
        await loop.round()
        for owner in "abcd":
            loop.want(owner, keyed(owner, {2: 2}))
        await loop.round()
        assert set(loop.failures) == bad
        for owner in "abcd":
            if owner not in bad:
                assert (owner, 2) in target.world
                assert (owner, 1) not in target.world
            elif atomic:
                assert target.world[(owner, 1)] == 1, "a refused owner was left half changed"

    asyncio.run(scenario())


def test_a_refused_owner_is_tried_again_with_growing_pauses_and_at_once_when_it_wants_something_else() -> None:
    async def scenario() -> None:
        clock = [0.0]
        target = Memory({}, frozenset({("a", 1)}))
        loop = reconciler(target, clock)
        loop.want("a", {("a", 1): 1})
        tries = []
        for second in range(12):
            clock[0] = float(second)
            before = len(target.batches)
            await loop.round()
            tries += [second] * (len(target.batches) - before)
        assert tries == [0, 1, 3, 7, 11], "pauses double from 1 s to at most 4 s"
        loop.want("a", {("a", 2): 1})
        await loop.round()
        assert target.world == {("a", 2): 1}
        assert loop.failures == {}

    asyncio.run(scenario())


def test_a_key_passes_from_one_owner_to_another_without_being_deleted() -> None:
    async def scenario() -> None:
        target = Memory({})
        loop = reconciler(target, [0.0])
        loop.want("a", {"k": 1})
        await loop.round()
        loop.want("b", {"k": 1})
        loop.want("a", {})
        await loop.round()
        assert target.world == {"k": 1}
        loop.want("b", {})
        await loop.round()
        assert target.world == {}

    asyncio.run(scenario())


def test_a_wish_during_an_apply_is_not_lost() -> None:
    async def scenario() -> None:
        class Slow(Memory):
            async def apply(self, changes: Changes[object, int]) -> Mapping[object, Failure]:
                if not self.batches:
                    loop.want("a", {"new": 1})
                return await super().apply(changes)

        target = Slow({})
        loop = reconciler(target, [0.0])
        loop.want("a", {"old": 1})
        task = asyncio.create_task(loop.run())
        async with asyncio.timeout(5):
            await loop.settled()
        task.cancel()
        assert target.world == {"new": 1}

    asyncio.run(scenario())


def test_run_ends_when_the_world_is_lost() -> None:
    target = Memory({})
    target.dies_after = 0
    loop = reconciler(target, [0.0])
    loop.want("a", {"k": 1})
    with pytest.raises(ConnectionResetError):
        asyncio.run(asyncio.wait_for(loop.run(), 5))


def checked(reconciler: Reconciler[str, int, int]) -> set[tuple[str | None, int, int, int]]:
    return {(each.owner, each.missing, each.changed, each.extra) for each in asyncio.run(reconciler.check())}


def enforcing(target: Memory) -> Reconciler[str, int, int]:
    """Two owners' entries, applied."""
    reconciler: Reconciler[str, int, int] = Reconciler(Config(), target, lambda: 0.0)
    reconciler.want("a", {1: 10, 2: 20})
    reconciler.want("b", {3: 30})
    asyncio.run(started(reconciler))
    return reconciler


async def started(reconciler: Reconciler[str, int, int]) -> None:
    await reconciler.observe()
    await reconciler.round()


def test_a_check_names_what_drifted_and_whose_it_was_and_the_next_round_repairs_that_alone() -> None:
    target = Memory({})
    reconciler = enforcing(target)
    assert checked(reconciler) == set()
    del target.world[1]
    target.world[3], target.world[9] = 31, 90
    assert checked(reconciler) == {("a", 1, 0, 0), ("b", 0, 1, 0), (None, 0, 0, 1)}
    asyncio.run(reconciler.round())
    assert target.batches[-1] == Changes({1: 10, 3: 30}, (9,)), "the smallest repair, in one batch"
    assert target.world == {1: 10, 2: 20, 3: 30}
    assert checked(reconciler) == set()


def test_what_a_round_writes_while_a_check_reads_is_no_drift() -> None:
    class Slow(Memory):
        async def observe(self) -> Mapping[object, int]:
            before = dict(self.world)
            await asyncio.sleep(0.01)
            return before

    async def play() -> None:
        target = Slow({})
        reconciler: Reconciler[str, int, int] = Reconciler(Config(), target, lambda: 0.0)
        reconciler.want("a", {1: 10, 2: 20})
        await started(reconciler)
        del target.world[2]
        checking = asyncio.create_task(reconciler.check())
        await asyncio.sleep(0)
        reconciler.want("b", {3: 30})
        await reconciler.round()
        (drift,) = await checking
        assert (drift.owner, drift.missing, drift.extra) == ("a", 1, 0)
        await reconciler.round()
        assert target.world == {1: 10, 2: 20, 3: 30}

    asyncio.run(play())


def test_a_read_that_fails_is_an_error_and_no_smaller_world() -> None:
    class Broken(Memory):
        broken = False

        async def observe(self) -> Mapping[object, int]:
            if self.broken:
                raise TimeoutError
            return dict(self.world)

    target = Broken({})
    reconciler = enforcing(target)
    target.broken = True
    with pytest.raises(TimeoutError):
        asyncio.run(reconciler.check())
    assert reconciler.actual == {1: 10, 2: 20, 3: 30}
    target.broken = False
    assert checked(reconciler) == set()


@given(owners, worlds)
def test_a_check_and_a_round_repair_whatever_happened(
    desired: dict[str, dict[int, int]], world: dict[int, int]
) -> None:
    target = Memory({})
    reconciler: Reconciler[str, int, int] = Reconciler(Config(), target, lambda: 0.0)
    wanted: dict[int, int] = {}
    for owner, entries in desired.items():
        mine = {key: value for key, value in entries.items() if key not in wanted}
        wanted |= mine
        reconciler.want(owner, mine)
    asyncio.run(started(reconciler))
    target.world = dict(world)
    asyncio.run(reconciler.check())
    asyncio.run(reconciler.round())
    assert target.world == wanted
