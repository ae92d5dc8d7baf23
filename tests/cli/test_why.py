"""`suimon why A B` and `suimon why-not`: what is asked of the controller, and how its answer reads."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from suimon.cli import main
from suimon.cli import why as module

HOP = {
    "stage": "allow_in",
    "what": "dropped",
    "words": "no rule",
    "host": "h2",
    "resource": {"kind": "security_group", "id": "g1", "project_id": "p", "revision": 7, "request_id": "req-1"},
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The calls that were made; each is answered with what the test needs."""
    calls: list[tuple[Any, ...]] = []

    def call(state: object, method: str, path: str, body: object = None) -> object:
        calls.append((method, path, body))
        if path == "ports/p1/drops":
            counted = [{"reason": "spoofed", "packets": 3, "words": "Not its own."}]
            filled = {"now": 20, "most": 20}
            return {"drops": {"port_id": "p1", "unknown": "", "counted": counted, "connections": filled}}
        if path == "ports/p2/drops":
            return {"drops": {"port_id": "p2", "unknown": "The port's host can't be asked now.", "counted": []}}
        if path != "reachability":
            return {"readiness": {"port_id": "p1", "ready": False, "status": "DOWN", "reasons": [
                {"reason": "unbound", "words": "The port is bound to no host."}]}}  # fmt: skip
        hosts = [{"name": "h2", "up": False}]
        trace = {"words": "0 of 1 legs agree", "legs": [{"host": "h2", "stage": "allow_in", "sent": []}]}
        probe = {"arrived": False, "words": "was not seen at its destination"}
        return {
            "reachability": {
                "reached": False, "there": [HOP], "back": [], "hosts": hosts, "trace": trace,
                "findings": ["it differs"], "probe": probe,
            }
        }  # fmt: skip

    monkeypatch.setattr(module, "call", call)
    monkeypatch.setattr(module, "id_of", lambda _state, _kind, text: {"web": "p1", "db": "p2"}[text])
    return calls


def test_a_verdict_reads_as_a_list_of_hops(asked: list[tuple[Any, ...]]) -> None:
    said = CliRunner().invoke(main, ["why", "a", "b", "--proto", "tcp", "--port", "22", "--trace"])
    assert said.exit_code == 1, "a finding is no success"
    assert asked == [("POST", "reachability", {"from": "a", "to": "b", "port": 22, "protocol": "tcp", "trace": True})]
    assert said.output.splitlines() == [
        "a reaches b: no",
        "There:",
        "  dropped on h2 at allow_in: no rule [security_group g1, project p, revision 7, req-1]",
        "(host h2 is not heard of)",
        "Trace: 0 of 1 legs agree",
        "Probe: it was not seen at its destination; a trace ends at allow_in on h2",
        "FINDING: it differs",
    ]


def test_why_not_lists_the_reasons_and_what_was_dropped(asked: list[tuple[Any, ...]]) -> None:
    said = CliRunner().invoke(main, ["why-not", "web"])
    assert asked == [("GET", "ports/p1/readiness", None), ("GET", "ports/p1/drops", None)]
    assert said.output.splitlines() == [
        "port p1 is DOWN",
        "1. The port is bound to no host. (unbound)",
        "dropped 3: Not its own. (spoofed)",
        "it has all 20 connections that a port may have: new ones are not remembered, or dropped",
    ]
    said = CliRunner().invoke(main, ["why-not", "db"])
    assert said.output.splitlines()[-1].endswith("is not known: The port's host can't be asked now.")


@pytest.mark.parametrize(
    "wrong", [["why", "a", "--trace"], ["why", "a", "--probe"], ["why", "a", "b", "--to", "10.0.0.1"]]
)
def test_what_does_not_go_together_is_refused(wrong: list[str]) -> None:
    assert CliRunner().invoke(main, wrong).exit_code == 2
