"""Every call of the policy API, everybody: exactly what the personas allow, and not a byte of what is another's."""

from __future__ import annotations

import pytest

from tests.api.cloud import Answer, Cloud
from tests.api.personas import CANARY, LETTERS, Stage
from tests.api.policy_table import CALLS, LISTS, OWNERS, PolicyCall


@pytest.fixture(scope="module")
def stage(shared_cloud: Cloud) -> Stage:
    return Stage(shared_cloud)


def leaks(told: Answer) -> bool:
    return CANARY.encode() in told.body


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.method} {call.path}")
def test_everybody_does_what_he_may_and_nothing_else(stage: Stage, call: PolicyCall) -> None:
    wrong = []
    for letter in "-" + LETTERS:
        ids = call.new(stage) if call.new else ()
        body = call.body(stage, ids) if call.body else None
        told = stage.do(letter, call.method, f"/policy/v1/{call.path.format(*ids)}", body)
        if told.status != call.expected(letter):
            wrong.append(f"{letter}: {told.status}, not {call.expected(letter)}: {told.body[:200]!r}")
        if leaks(told) and (told.status >= 300 or letter not in OWNERS + "a"):
            wrong.append(f"{letter} is told what is red's: {told.body[:200]!r}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", LISTS)
def test_a_list_has_ones_own(stage: Stage, path: str) -> None:
    (id_,) = LISTS[path](stage)
    shown = path in ("policies", "violations", "evaluations")
    assert stage.do("-", "GET", f"/policy/v1/{path}").status == 401
    for letter in LETTERS:
        told = stage.do(letter, "GET", f"/policy/v1/{path}?limit=1000" if path != "policies" else f"/policy/v1/{path}")
        assert told.status == 200
        own = letter in OWNERS + "a"
        assert (id_.encode() in told.body) is (own and shown), (letter, told.body[:300])
        assert own or not leaks(told), letter


def test_rows_that_are_pushed_are_seen_by_those_whose_they_are(stage: Stage) -> None:
    (call,) = (one for one in CALLS if one.path == "data-sources/{}/tables/t/rows" and one.method == "GET")
    assert call.new
    (name,) = call.new(stage)
    many = {
        letter: len(stage.do(letter, "GET", f"/policy/v1/data-sources/{name}/tables/t/rows").json["results"])
        for letter in LETTERS
    }
    assert many == {"m": 1, "r": 1, "M": 1, "o": 0, "a": 2, "s": 0}


def test_every_call_is_in_the_table(stage: Stage) -> None:
    service = stage.cloud.services["policy"]
    known = {
        (method, pattern)
        for pattern, methods in service._routes._by_pattern.items()  # type: ignore[attr-defined]
        for method in methods
    }
    table = [*((call.method, call.path) for call in CALLS), *(("GET", path) for path in LISTS)]
    left = set(known)
    for method, path in table:
        parts = ("v1", *path.partition("?")[0].split("/"))
        fitting = {one for one in known if one[0] == method and _fits(one[1], parts)}
        assert fitting, (method, path)
        left -= fitting
    assert not left, "a new call needs a line: who is let, and with which status"


def _fits(pattern: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    return len(pattern) == len(parts) and all(
        one == "*" or one == other for one, other in zip(pattern, parts, strict=True)
    )
