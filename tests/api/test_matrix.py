"""Every resource, every verb, everybody: exactly what the personas allow, and not a byte of what is another's.

The table says for each resource who sees red's things and who may do what with them. A resource that is registered
without a line here, and a verb without a place in its line, fail. Who may not do something hears 403 when he sees the
thing, 404 when he doesn't, and 401 when he is nobody.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from suimon.api.operations import allowance
from suimon.resources.registry import RESOURCES
from suimon.resources.resource import Child, Resource
from tests.api.cloud import Answer, Cloud
from tests.api.loop_table import LISTS, LOOP, OWNERS, LoopCall
from tests.api.matrix_table import TABLE
from tests.api.personas import CANARY, LETTERS, Ids, Line, Stage, Trial


def child(key: str) -> Resource | Child:
    """What is registered at a path; `{}` in it stands for a parent's id."""
    path, _, below = key.partition("/{}/")
    return RESOURCES[path].children[below] if below else RESOURCES[path]


def registered() -> Iterator[str]:
    for path, resource in RESOURCES.items():
        yield path
        yield from (f"{path}/{{}}/{below}" for below in resource.children)


def operations(resource: Resource | Child) -> set[str]:
    """All that it answers to."""
    does = {
        "GET": resource.list or getattr(resource, "listed", None),
        "GET {}": resource.get,
        "POST": resource.create,
        "PUT {}": resource.update,
        "DELETE {}": resource.delete,
    }
    actions = {f"PUT {{}}/{name}" for name in getattr(resource, "actions", ())}
    return {name for name, act in does.items() if act} | actions | {view.strip() for view in resource.views}


@pytest.fixture(scope="module")
def stage(shared_cloud: Cloud) -> Stage:
    return Stage(shared_cloud)


@pytest.fixture(autouse=True)
def as_often_as_they_like(monkeypatch: pytest.MonkeyPatch) -> None:
    """The matrix asks faster than a project may, the more so on a fast machine."""
    monkeypatch.setattr(allowance, "_BURST", 10_000)


@pytest.mark.parametrize("key", list(registered()))
def test_every_resource_and_verb_has_its_place(key: str) -> None:
    assert key in TABLE, "a new resource needs a line: who sees it, and who may do what"
    assert TABLE[key].operations() == operations(child(key))


def fresh(stage: Stage, line: Line, key: str) -> Ids:
    ids = line.new(stage)
    if line.tags is not None:
        assert stage.do("a", "PUT", f"{place(key, ids)}/{ids[-1]}/tags/t").status == 201
    return ids


def place(key: str, ids: Ids) -> str:
    """The collection's path."""
    return key.replace("{}", ids[0]) if "{}" in key else key


@pytest.mark.parametrize("key", TABLE)
def test_everybody_does_what_he_may_and_nothing_else(stage: Stage, key: str) -> None:
    line = TABLE[key]
    ids = fresh(stage, line, key)
    wrong = []
    for name, trial in line.trials():
        method, _, pattern = name.partition(" ")
        for letter in LETTERS + "-":
            sent = trial.body(stage, ids) if trial.body else None
            parts = (ids[-1], str(trial.last(stage, ids)) if trial.last else "")
            told = stage.do(letter, method, "/".join(filter(None, [place(key, ids), filled(pattern, parts)])), sent)
            expected = status(line, trial, name, letter)
            if told.status != expected:
                wrong.append(f"{name} by {letter}: {told.status}, not {expected}: {told.body[:200]!r}")
            if letter not in line.sees and letter not in trial.let and leaks(told):
                wrong.append(f"{name} by {letter} tells what is red's: {told.body[:200]!r}")
            if told.status < 300 and method != "GET":
                ids = fresh(stage, line, key)
    assert not wrong, "\n".join(wrong)


def filled(pattern: str, parts: tuple[str, str]) -> str:
    for part in parts:
        pattern = pattern.replace("{}", part, 1)
    return pattern


def status(line: Line, trial: Trial, name: str, letter: str) -> int:
    if letter == "-":
        return 401
    if letter in trial.let:
        return trial.status
    if letter in trial.refused or "*" in trial.refused:
        return trial.refused.get(letter, trial.refused.get("*", 0))
    return 403 if name == "POST" or letter in line.sees else 404


def leaks(told: Answer) -> bool:
    return CANARY.encode() in told.body


@pytest.mark.parametrize("key", [key for key, line in TABLE.items() if line.lists])
def test_a_list_has_what_one_sees_and_no_more(stage: Stage, key: str) -> None:
    line = TABLE[key]
    ids = line.new(stage)
    for letter in LETTERS:
        told = stage.do(letter, "GET", place(key, ids))
        hidden = letter not in line.sees
        if told.status != 200:
            # Below a parent that one doesn't see, or where a whole kind is for operators.
            assert hidden and told.status in (403, 404), (letter, told.body[:200])
        assert hidden is (ids[-1].encode() not in told.body), (letter, told.body[:500])
        assert not (hidden and leaks(told)), letter
    assert stage.do("-", "GET", place(key, ids)).status == 401


OPERATIONS = [
    ("GET", "hosts", 200),
    ("GET", "hosts/{}", 200),
    ("GET", "hosts/{}/events", 200),
    ("POST", "hosts/tokens", 201),
    ("POST", "hosts/{}/accept", 200),
    ("GET", "hosts/{}/drain", 200),
    ("POST", "hosts/{}/drain", 200),
    ("DELETE", "hosts/{}/drain", 204),
    ("DELETE", "hosts/{}", 204),
]


@pytest.mark.parametrize("method, path, allowed", OPERATIONS)
def test_operations_are_for_operators(stage: Stage, method: str, path: str, allowed: int) -> None:
    host = stage.host()
    for letter in LETTERS + "-":
        if letter == "a":
            continue
        told = stage.do(letter, method, f"/operations/v1/{path.format(host)}", {} if method == "POST" else None)
        assert told.status == (401 if letter == "-" else 403), (letter, told.body)
        assert host.encode() not in told.body
        absent = stage.do(letter, method, f"/operations/v1/{path.format('absent')}", {} if method == "POST" else None)
        assert (absent.status, absent.body) == (told.status, told.body), letter
    told = stage.do("a", method, f"/operations/v1/{path.format(host)}", {} if method == "POST" else None)
    assert told.status == allowed


OF_A_PORT = [
    ("GET", "ports/{}/readiness"),
    ("GET", "ports/{}/drops"),
    ("GET", "reachability?from={}&to=192.0.2.7"),
    ("POST", "reachability"),
]


@pytest.mark.parametrize("method, path", OF_A_PORT)
def test_who_owns_a_port_may_ask_about_it(stage: Stage, method: str, path: str) -> None:
    network = stage.network()
    stage.subnet(network)
    port = stage.port(network)
    statuses = {}
    for letter in LETTERS + "-":
        body = {"from": port, "to": "192.0.2.7"} if method == "POST" else None
        told = stage.do(letter, method, f"/operations/v1/{path.format(port)}", body)
        statuses[letter] = told.status
        assert told.status == 200 or not leaks(told)
    assert statuses == {"m": 200, "r": 200, "M": 200, "o": 404, "a": 200, "s": 404, "-": 401}


@pytest.mark.parametrize("call", LOOP, ids=lambda call: f"{call.method} {call.path}")
def test_the_loop_is_for_operators_and_a_tenant_has_his_half(stage: Stage, call: LoopCall) -> None:
    wrong = []
    for letter in "-" + LETTERS:
        id_ = call.new(stage) if call.new else ""
        body = call.body(stage, id_) if call.body else None
        told = stage.do(letter, call.method, f"/operations/v1/{call.path.format(id_)}", body)
        if told.status != call.expected(letter):
            wrong.append(f"{letter}: {told.status}, not {call.expected(letter)}: {told.body[:200]!r}")
        if told.status >= 300 and leaks(told):
            wrong.append(f"{letter} is told what is red's: {told.body[:200]!r}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", LISTS)
def test_a_list_of_the_loop_has_ones_own(stage: Stage, path: str) -> None:
    id_ = LISTS[path](stage)
    assert stage.do("-", "GET", f"/operations/v1/{path}").status == 401
    for letter in LETTERS:
        told = stage.do(letter, "GET", f"/operations/v1/{path}")
        assert told.status == 200
        assert (id_.encode() in told.body) is (letter in OWNERS + "a"), letter
        assert letter in OWNERS + "a" or not leaks(told), letter


def test_every_operation_is_in_the_table(stage: Stage) -> None:
    service = stage.cloud.services["operations"]
    known = {
        f"{method} {'/'.join(pattern)}"
        for pattern, methods in service._routes._by_pattern.items()  # type: ignore[attr-defined]
        for method in methods
    }
    table = [*((method, path) for method, path, _ in OPERATIONS), *OF_A_PORT, *(call[:2] for call in LOOP)]
    table += [("GET", path) for path in LISTS]
    assert known == {f"{method} v1/{path.partition('?')[0].replace('{}', '*')}" for method, path in table}


def test_a_servers_port_goes_with_its_service_only(stage: Stage) -> None:
    def deleted(service: str | None) -> int:
        port = stage.port(device_owner="compute:nova")
        headers = {} if service is None else {"x-service-token": service}
        return stage.cloud.call("DELETE", f"/v2.0/ports/{port}", None, stage.tokens["m"], headers).status

    assert deleted(None) == 403
    assert deleted(stage.tokens["o"]) == 403
    assert deleted("guessed") == 401
    assert deleted("x" * 5000) == 401
    assert deleted(stage.tokens["s"]) == 204


def test_a_network_seen_for_being_external_is_not_for_ports(stage: Stage) -> None:
    outside = stage.outside()
    statuses = {
        letter: stage.do(letter, "POST", "ports", {"port": {"network_id": outside}}).status for letter in LETTERS
    }
    assert statuses == {"m": 403, "r": 403, "M": 403, "o": 403, "a": 201, "s": 201}
    share = {"object_type": "network", "object_id": outside, "action": "access_as_shared", "target_tenant": stage.red}
    stage.made("rbac-policies", "rbac_policy", share, "a")
    statuses = {letter: stage.do(letter, "POST", "ports", {"port": {"network_id": outside}}).status for letter in "mro"}
    assert statuses == {"m": 201, "r": 403, "o": 403}
