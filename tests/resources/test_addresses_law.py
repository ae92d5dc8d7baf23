"""Laws of address management: never twice, freed is usable again, exhausted is a conflict, nothing is lost."""

from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from suimon.model.errors import Conflict
from suimon.model.ranges import Range, contains, lowest, merged, without
from suimon.store.tables import IP_ALLOCATIONS, IP_FREE
from tests.resources.world import World

POOL = range(4, 15)
"""The last octets of the pool; 1 to 14 can be had by name."""

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("any"), st.integers(1, 4)),
        st.tuples(st.just("named"), st.integers(1, 14)),
        st.tuples(st.just("free"), st.integers(0, 20)),
        st.tuples(st.just("move"), st.integers(1, 14)),
        st.tuples(st.just("pool"), st.integers(4, 12)),
    ),
    max_size=14,
)


def octet(address: str) -> int:
    return int(address.rpartition(".")[2])


def rows(world: World, table: object) -> list[tuple[int, ...]]:
    """The numbers in a table's columns of addresses, as last octets."""
    columns = [IP_FREE.c.first, IP_FREE.c.last] if table is IP_FREE else [IP_ALLOCATIONS.c.ip]
    found = world.read(lambda tx: [tuple(row) for row in tx.rows(select(*columns).order_by(columns[0]), {})])
    return [tuple(int(text, 16) & 255 for text in row) for row in found]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_any_history_keeps_the_books(steps: list[tuple[str, int]]) -> None:
    world = World()
    try:
        _play(world, steps)
    finally:
        world.close()


def _play(world: World, steps: list[tuple[str, int]]) -> None:
    network = world.network()
    pool = [(POOL[0], POOL[-1])]
    subnet = world.subnet(network, "10.0.0.0/28", gateway_ip=None, allocation_pools=_pools(pool))
    held: dict[str, int] = {}
    for step, number in steps:
        free = [n for n in range(16) if contains(pool, n) and n not in held.values()]
        try:
            match step:
                case "any":
                    made = world.create_many("ports", [{"network_id": network}] * number)
                    got = [octet(port["fixed_ips"][0]["ip_address"]) for port in made]
                    assert got == free[:number]
                    held |= {port["id"]: n for port, n in zip(made, got, strict=True)}
                case "named":
                    port = world.port(network, fixed_ips=[{"ip_address": f"10.0.0.{number}"}])
                    assert number not in held.values()
                    held[port["id"]] = number
                case "free" if held:
                    gone = sorted(held)[number % len(held)]
                    world.delete("ports", gone)
                    del held[gone]
                case "move" if held:
                    port_id = min(held)
                    world.update("ports", port_id, {"fixed_ips": [{"ip_address": f"10.0.0.{number}"}]})
                    held[port_id] = number
                case "pool":
                    pool = [(2, 2), (number, number + 2)]
                    world.update("subnets", subnet, {"allocation_pools": _pools(pool)})
        except Conflict as conflict:
            expected = {"any": "IpAddressGenerationFailure", "named": "IpAddressAlreadyAllocated"}
            assert conflict.kind == expected.get(step, "IpAddressAlreadyAllocated")
            assert len(free) < number if step == "any" else number in held.values()
        _check_books(world, pool, set(held.values()), len(held))


def _pools(pool: list[Range]) -> list[dict[str, str]]:
    return [{"start": f"10.0.0.{first}", "end": f"10.0.0.{last}"} for first, last in pool]


def _check_books(world: World, pool: list[Range], held: set[int], count: int) -> None:
    assert len(held) == count
    assert {n for (n,) in rows(world, IP_ALLOCATIONS)} == held
    free = [(row[0], row[1]) for row in rows(world, IP_FREE)]
    assert free == without(pool, held)


NUMBERS = st.sets(st.integers(0, 60))


@given(NUMBERS, NUMBERS, st.integers(0, 70))
def test_ranges_are_sets(numbers: set[int], others: set[int], count: int) -> None:
    ranges = merged((n, n) for n in numbers)
    assert {n for first, last in ranges for n in range(first, last + 1)} == numbers
    assert all(one[1] + 1 < two[0] for one, two in pairwise(ranges))
    assert without(ranges, others) == merged((n, n) for n in numbers - others)
    assert lowest(ranges, count) == sorted(numbers)[:count]
    assert all(contains(ranges, n) == (n in numbers) for n in range(61))
