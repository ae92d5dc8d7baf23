"""`suimon restrict`, `release`, `restrictions`: what is asked of the controller, and what is printed."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner, Result

from suimon.cli import main
from suimon.cli import restrict as module

TOLD: dict[str, Any] = {
    "id": "r1", "target_kind": "port", "target": "p1", "direction": "egress", "rate_kbps": None, "rate_kpps": None,
    "kind": "port_block", "protocol": "tcp", "port_min": 25, "port_max": 25, "state": "active", "reason": "spam",
    "expires_at": "2026-01-02T00:00:00Z", "released_at": None, "author": "root",
}  # fmt: skip
INCIDENT = {"id": "i1", "rule": "policy:open", "subject_kind": "port", "subject_id": "p1"}


def said(monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[Result, list[tuple[str, str, Any]]]:
    asked: list[tuple[str, str, Any]] = []

    def call(_state: object, method: str, path: str, body: Any = None) -> Any:
        asked.append((method, path, body))
        if path == "incidents/undo":
            return {"undone": [INCIDENT], "left": [{**INCIDENT, "id": "i2", "why": "changed since"}]}
        return {"restriction": TOLD, "restrictions": [TOLD]}

    monkeypatch.setattr(module, "call", call)
    monkeypatch.setattr(module, "id_of", lambda _state, kind, text: f"id of {kind} {text}")
    return CliRunner().invoke(main, list(words)), asked


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (
            "port p1 --block tcp/25 --for 24h",
            {"kind": "port_block", "protocol": "tcp", "port_min": 25, "port_max": 25, "direction": "egress"}
            | {"target_kind": "port", "target": "id of port p1", "duration_s": 86_400},
        ),
        (
            "project p --block udp/5000-5003 --direction both",
            {"kind": "port_block", "protocol": "udp", "port_min": 5000, "port_max": 5003, "direction": None}
            | {"target_kind": "project", "target": "p", "duration_s": None},
        ),
        (
            "network n --rate 10mbit --for 90m",
            {"kind": "rate_limit", "rate_kbps": 10_000, "direction": None}
            | {"target_kind": "network", "target": "id of network n", "duration_s": 5400},
        ),
        (
            "address 192.0.2.9 --packet-rate 5kpps --direction ingress",
            {"kind": "packet_rate_limit", "rate_kpps": 5, "direction": "ingress"}
            | {"target_kind": "address", "target": "192.0.2.9", "duration_s": None},
        ),
        (
            "port p1 --quarantine",
            {"kind": "quarantine", "target_kind": "port", "target": "id of port p1", "duration_s": None},
        ),
        (
            "port p1 --quarantine --finding f1 --evidence e1 --evidence e2",
            {"kind": "quarantine", "target_kind": "port", "target": "id of port p1", "duration_s": None}
            | {"finding_id": "f1", "evidence": ("e1", "e2")},
        ),
        (
            "outside-address 203.0.113.9",
            {"kind": "port_block", "target_kind": "outside_address", "target": "203.0.113.9", "duration_s": None},
        ),
    ],
)
def test_what_is_asked_for(monkeypatch: pytest.MonkeyPatch, words: str, wanted: dict[str, Any]) -> None:
    result, asked = said(monkeypatch, "restrict", *words.split(), "--reason", "mass mail")
    assert result.exit_code == 0, result.output
    assert asked == [("POST", "restrictions", {"restriction": {**wanted, "reason": "mass mail"}})]
    assert result.output == "r1  port p1  block tcp/25 egress  active  2026-01-02T00:00:00Z\n"


@pytest.mark.parametrize(
    "words",
    [
        "restrict port p1 --reason x",
        "restrict port p1 --quarantine",
        "restrict port p1 --quarantine --rate 1mbit --reason x",
        "restrict port p1 --quarantine --direction egress --reason x",
        "restrict port p1 --block icmp/8 --reason x",
        "restrict port p1 --rate 10 --reason x",
        "restrict port p1 --rate 1.5mbit --reason x",
        "restrict port p1 --quarantine --for 24 --reason x",
        "restrict outside-address 203.0.113.9 --rate 1mbit --reason x",
        "restrict planet mars --quarantine --reason x",
        "release --why x",
        "release r1",
        "release r1 --all --why x",
        "release r1 --since 2h --why x",
    ],
)
def test_what_makes_no_sense_asks_nothing(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    result, asked = said(monkeypatch, *words.split())
    assert (result.exit_code, asked) == (2, [])


def test_releasing_by_id_and_all_since(monkeypatch: pytest.MonkeyPatch) -> None:
    _, asked = said(monkeypatch, "release", "r1", "r/2", "--why", "mended")
    assert [path for _, path, _ in asked] == ["restrictions/r1/release", "restrictions/r%2F2/release"]
    result, asked = said(monkeypatch, "release", "--all", "--since", "2h", "--why", "mended")
    body = {"why": "mended", "within_s": 7200}
    assert asked == [("POST", "restrictions/release", body), ("POST", "incidents/undo", body)]
    assert result.output.startswith("1 released.")
    assert "1 undone." in result.output and "i2  policy:open  port p1: not undone: changed since" in result.output


def test_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    result, asked = said(monkeypatch, "restrictions")
    assert asked == [("GET", "restrictions?state=active&limit=1000", None)]
    assert result.output.splitlines()[1].split() == (
        ["r1", "port", "p1", "block", "tcp/25", "egress", "active", "2026-01-02T00:00:00Z", "root", "spam"]
    )
    monkeypatch.setitem(TOLD, "expires_at", None)
    assert "active  its release" in said(monkeypatch, "restrictions")[0].output
    assert said(monkeypatch, "restrictions", "--all")[1] == [("GET", "restrictions?limit=1000", None)]
    assert '"id": "r1"' in said(monkeypatch, "restrictions", "--json")[0].output


def test_all_that_is_in_force_is_listed_and_of_the_rest_it_is_said_that_there_is_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_PAGE", 2)
    left = [{**TOLD, "id": f"r{number}"} for number in range(5)]

    def call(_state: object, _method: str, path: str) -> Any:
        marker = parse_qs(urlsplit(path).query).get("marker", [""])[0]
        begin = next((at + 1 for at, one in enumerate(left) if one["id"] == marker), 0)
        return {"restrictions": left[begin : begin + 2]}

    monkeypatch.setattr(module, "call", call)
    runner = CliRunner()
    assert [line.split()[0] for line in runner.invoke(main, ["restrictions"]).stdout.splitlines()[1:]] == [
        one["id"] for one in left
    ]
    every = runner.invoke(main, ["restrictions", "--all"])
    assert len(every.stdout.splitlines()) == 3 and "there may be older ones" in every.stderr
