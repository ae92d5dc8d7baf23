"""Whatever the order, restarts, two controllers at once and clocks that are set: never more acts than are allowed."""

from datetime import datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from suimon.model.incidents import Incident
from suimon.model.rulebook import Limits
from suimon.resources.places import count_ports
from suimon.response.gate import allowance
from tests.response.cloud import Cloud

PORTS = 12
HOUR = timedelta(hours=1)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("find"), st.integers(0, PORTS - 1)),
        st.tuples(st.just("find"), st.integers(0, PORTS - 1)),
        st.tuples(st.just("find_many"), st.integers(2, PORTS)),
        st.tuples(st.just("round"), st.integers(1, 3)),
        st.tuples(st.just("pass"), st.sampled_from([1, 90, 1800, 3599, 3601, 90_000])),
        st.tuples(st.just("set"), st.sampled_from([-86_400, -3700, -40, 40, 3700])),
        st.tuples(st.just("restart"), st.just(0)),
        st.tuples(st.just("close"), st.just(0)),
        st.tuples(st.just("wide"), st.just(0)),
    ),
    min_size=4,
    max_size=25,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS)
def test_never_more_than_allowed(steps: list[tuple[str, int]]) -> None:
    c = Cloud(PORTS)
    try:
        for number, (step, value) in enumerate(steps):
            take(c, step, value, number)
            check(c)
        c.round()
        check(c)
    finally:
        c.close()


def take(c: Cloud, step: str, value: int, number: int) -> None:
    match step:
        case "find":
            c.find(c.ports[value], number)
        case "find_many":
            for port in c.ports[:value]:
                c.find(port, number)
        case "wide":
            c.find("red", number, kind="project")
        case "round":
            c.round(*(c.another() for _ in range(value - 1)))
        case "pass":
            c.clock_ahead(timedelta(seconds=value))
        case "set":
            c.set_clock(timedelta(seconds=value))
        case "restart":
            c.restart()
        case "close" if c.breaker_open():
            c.close_breaker()


def check(c: Cloud) -> None:
    acted = [one for one in c.incidents() if one.acted_at is not None]
    most = allowance(c.read(count_ports), Limits())
    for one in acted:
        within = [other for other in acted if _within(one.acted_at, other.acted_at)]
        assert sum(other.weight for other in within) <= most
    by_rules = {one.id for one in c.active() if one.author_kind == "rule"}
    assert by_rules <= {one.restriction_id for one in acted}
    assert not [one for one in acted if not _sound(one)]


def _within(begin: Any, at: Any) -> bool:
    """Whether that is in the hour that begins with this one."""
    assert isinstance(begin, datetime)
    return begin <= at < begin + HOUR


def _sound(incident: Incident) -> bool:
    return incident.state in ("restricted", "closed") and incident.restriction_id is not None
