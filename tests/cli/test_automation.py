"""`suimon rulebook`, `findings`, `incidents`, `approve`, `deny`, `mark`, `report`, `breaker`, `subscribers` and `usage`
against a real controller: what is printed, and what comes of it.
"""

from __future__ import annotations

import asyncio
import csv
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from suimon.cli.host import request
from suimon.model.collectors import CollectorJoin, MapRequest
from suimon.telemetry.port_map import Controller
from tests.api.controller import Controller as ControllerProcess
from tests.api.controller import started
from tests.cli.test_policy import Typist, awaited

RULES = """\
rules:
  - name: spam
    detector: mass_mail
    for: {everyone: true}
    do: {kind: port_block, protocol: tcp, port_min: 25, port_max: 25, lasts_h: 1}
    mode: MODE
"""


class Operator(Typist):
    def __init__(self, controller: ControllerProcess, folder: Path) -> None:
        super().__init__(controller, folder)
        self.controller = controller

    def said(self, *words: str) -> str:
        """What `suimon` prints."""
        done = self.typed(*words)
        assert done.exit_code == 0, done.output
        return done.stdout

    def port(self, network: str, name: str = "") -> str:
        wanted = {"port": {"network_id": network, "name": name}}
        return str(request(self._state, "POST", "v2.0/ports", wanted)["port"]["id"])

    def find(self, name: str) -> str:
        """A detector tells of a new port; its id."""
        port = self.port(self.network(name))
        now_s = time.time()
        finding = {
            "id": f"found-{name}", "detector": "mass_mail", "subject": {"kind": "port", "id": port}, "role": "source",
            "project_id": None, "since_s": now_s - 20, "seen_s": now_s, "confidence": 0.95, "numbers": {"sessions": 50},
            "words": "It sends mail to 400 servers.", "evidence": [f"port {port} destination_port 25"],
        }  # fmt: skip
        request(self._state, "POST", "operations/v1/findings", {"findings": [finding]})
        return port

    def waiting(self, port: str) -> str:
        """The incident of that port that waits for an answer; its id."""

        def look() -> list[str]:
            listed: list[dict[str, Any]] = json.loads(self.said("incidents", "--waiting", "--json"))
            return [one["id"] for one in listed if one["subject_id"] == port]

        (id_,) = awaited(look)
        return id_


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    folder = tmp_path_factory.mktemp("cloud")
    with started(folder / "state", "--runbooks-url", "https://wiki.example/r") as controller:
        made = Operator(controller, folder)
        for number, mode in enumerate(("dry_run", "approve"), start=1):
            said = made.said("rulebook", "put", rules(folder, mode), "--why", mode)
            assert said == f"Version {number} is in force.\n"
        yield made
        assert "Traceback" not in controller.log(), controller.log()


def rules(folder: Path, mode: str) -> str:
    path = folder / "rules.yaml"
    path.write_text(RULES.replace("MODE", mode))
    return str(path)


def test_the_rulebook_has_versions_and_says_what_is_wrong(operator: Operator, tmp_path: Path) -> None:
    assert operator.said("rulebook", "show") == RULES.replace("MODE", "approve")
    assert "\n+    mode: approve\n" in operator.said("rulebook", "show", "--version", "2")
    assert [line.split()[0] for line in operator.said("rulebook", "versions").splitlines()] == ["VERSION", "2", "1"]
    assert "line 6" in operator.refusal("rulebook", "put", rules(tmp_path, "sometimes"), "--why", "x")


def test_what_waits_is_approved_denied_marked_and_reported(operator: Operator) -> None:
    bad, good = operator.find("bad"), operator.find("good")
    approved, denied = operator.waiting(bad), operator.waiting(good)
    assert operator.said("approve", approved, "--why", "spam") == f"{approved}  port {bad}  restricted\n"
    assert operator.said("deny", denied, "--why", "a newsletter") == f"{denied}  port {good}  closed\n"
    assert bad in operator.said("restrictions") and good not in operator.said("restrictions")
    head, *story = operator.said("incidents", approved).splitlines()
    assert head == f"{approved}  spam  port {bad}  restricted"
    assert story[1].strip() == "what to do: https://wiki.example/r#mass_mail"
    kinds = [line.split()[1] for line in story if "what to do: " not in line]
    assert (kinds[0], kinds[-1]) == ("finding", "restriction") and "decision" in kinds
    shown = [line.split() for line in operator.said("incidents").splitlines()[1:]]
    assert {(row[0], row[-2]) for row in shown} == {(approved, "restricted"), (denied, "closed")}
    listed = operator.said("findings").splitlines()
    assert listed[0].split()[:2] == ["NOTED", "DETECTOR"] and len(listed) == 3 and "to 400 servers" in listed[1]
    operator.said("mark", approved, "--why", "it was told to")
    assert bad not in operator.said("restrictions")
    month = f"{datetime.now(UTC):%Y-%m}"
    rows = {row["rule"]: row for row in csv.DictReader(operator.said("report", "--month", month, "--csv").splitlines())}
    figures = {name: rows["spam"][name] for name in ("findings", "asked", "approved", "denied", "false_positives")}
    assert figures == {"findings": "2", "asked": "2", "approved": "1", "denied": "1", "false_positives": "1"}
    assert float(rows["spam"]["to_find_median_s"]) >= 20 and float(rows["spam"]["to_undo_median_s"]) > 0
    assert rows["spam"] == {**rows["all"], "rule": "spam"}
    told = json.loads(operator.said("report", "--month", month, "--json"))
    assert str(told["figures"]["false_positives"]) == rows["all"]["false_positives"] and not told["closed"]
    head, titles, *table = operator.said("report", "--month", month).splitlines()
    assert (head, titles.split()) == (f"{month}, which is not over yet", ["ALL", "SPAM"])
    words = dict(re.split(" {2,}", line)[:2] for line in table)
    assert words["false positives"] == "1" and re.fullmatch(r"2\d\.\d s", words["found after, median"]), table
    assert operator.said("report", "--month", "2026-01").startswith("2026-01\n")


def test_a_port_or_network_is_named_by_its_name_too(operator: Operator) -> None:
    network = operator.network("named")
    ports = [operator.port(network, name) for name in ("web & db", "twin", "twin")]
    assert f"port {ports[0]}  " in operator.said("restrict", "port", "web & db", "--quarantine", "--reason", "x")
    assert f"network {network}  " in operator.said("restrict", "network", "named", "--rate", "9mbit", "--reason", "x")
    assert operator.said("why-not", "web & db").startswith(f"port {ports[0]} is DOWN\n")
    assert operator.said("usage", "port", "web & db").startswith(f"port {ports[0]}: ")
    assert all(port in operator.refusal("why-not", "twin") for port in ports[1:])
    assert operator.refusal("usage", "network", "nowhere") == "Error: There is no network nowhere.\n"
    operator.said("release", "--all", "--why", "over")


def test_the_breaker_is_opened_and_closed_and_everything_is_released(operator: Operator) -> None:
    assert operator.said("breaker", "show") == "closed, as ever\n"
    operator.said("breaker", "open", "--why", "maintenance")
    shown = operator.said("breaker", "show").splitlines()
    assert shown[0].startswith("OPEN since ") and shown[1] == "maintenance"
    operator.said("breaker", "close", "--why", "done")
    assert operator.said("breaker", "show").startswith("closed since ")
    port = operator.find("again")
    operator.said("approve", operator.waiting(port), "--why", "spam")
    operator.said("release", "--all", "--since", "2h", "--why", "the rule was wrong")
    assert port not in operator.said("restrictions") and port in operator.said("restrictions", "--all")


def test_a_subscriber_s_secret_is_told_once(operator: Operator) -> None:
    made = json.loads(operator.said("subscribers", "add", "http://127.0.0.1:9/hook"))
    listed = operator.said("subscribers", "list")
    assert made["id"] in listed and "(all)" in listed and made["secret"] not in listed
    operator.said("subscribers", "remove", made["id"])
    assert made["id"] not in operator.said("subscribers", "list")


def test_collectors_are_listed_with_when_they_were_heard_of_and_forgotten(operator: Operator) -> None:
    token = operator.said("host", "token", "--collector", "flows1").strip()
    url = f"http://127.0.0.1:{operator.controller.hosts_port}"
    joined = asyncio.run(Controller(url).join(CollectorJoin(token, "flows1", "http://192.0.2.9:9698", "k" * 43)))
    assert operator.said("collectors", "list").split()[4:6] == ["flows1", "http://192.0.2.9:9698"]
    assert operator.said("collectors", "list").split()[-1] == "never"
    asyncio.run(Controller(url, None, joined.credential).ports(MapRequest()))
    (listed,) = json.loads(operator.said("collectors", "list", "--json"))
    assert listed["heard_at"] in operator.said("collectors", "list") and "key" not in listed
    operator.said("collectors", "remove", "flows1")
    assert "flows1" not in operator.said("collectors", "list")
    assert "could not be found" in operator.refusal("collectors", "remove", "flows1")


def test_usage_as_lines_numbers_and_a_plot(operator: Operator) -> None:
    asked = ("usage", "--since", "10m", "--step", "1m")
    told = json.loads(operator.said(*asked, "--json"))
    rows = list(csv.DictReader(operator.said(*asked, "--csv").splitlines()))
    assert len(rows) == len(told["steps"]) >= 10 and {row["out_bytes"] for row in rows} == {"0"}
    head, *lines = operator.said(*asked).splitlines()
    assert head.endswith("in steps of 60 s") and len(lines) == 8
    assert [line.strip() for line in lines[1::2]] == [""] * 4, "of nothing there is nothing to plot"
    assert operator.typed("usage", "port").exit_code == 2
    assert operator.typed("usage", "--by", "port").exit_code == 2
    assert "Nothing was metered in 2020-01" in operator.refusal("usage", "--month", "2020-01", "--by", "port")


def test_a_dry_run_says_what_would_be_and_why_not(operator: Operator, tmp_path: Path) -> None:
    operator.said("rulebook", "put", rules(tmp_path, "dry_run"), "--why", "a test")
    operator.said("breaker", "open", "--why", "maintenance")
    port = operator.find("dry")

    def look() -> list[str]:
        return [line for line in operator.said("incidents").splitlines() if port in line]

    (line,) = awaited(look)
    assert line.endswith("  ask: the breaker is open: maintenance")
    _, *story = operator.said("incidents", line.split()[0]).splitlines()
    assert story[-1].endswith("would ask: the breaker is open: maintenance")
    operator.said("breaker", "close", "--why", "done")
    told = operator.said("report", "--month", f"{datetime.now(UTC):%Y-%m}").splitlines()
    assert int(dict(re.split(" {2,}", row)[:2] for row in told[2:])["would have asked (dry run)"]) >= 1
