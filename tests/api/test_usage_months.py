"""What a month came to is told by project, network and port: all to operators, his own to a tenant, alike each time."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from pathlib import Path
from threading import Event

import pytest

from suimon.api.gate import Gate
from suimon.api.operations.service import OperationsService
from suimon.cli.billing import show_month
from suimon.model.counts import Count, Metered, PortCounts, Reading
from suimon.model.months import Month
from suimon.telemetry.meter.database import Database
from suimon.telemetry.meter.history import Config as HistoryConfig
from suimon.telemetry.meter.history import History
from suimon.telemetry.meter.ledger import Told
from suimon.telemetry.meter.meters import Config, Meters
from tests.api.cloud import Answer, Cloud
from tests.patience import patient

JANUARY = Month.named("2027-01")
BEGIN_S, END_S = JANUARY.begin_s, JANUARY.end_s


class Billed:
    """January, in which each port sent 3000 bytes each hour, and a bit of February."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self.cloud = cloud
        anna, bert = cloud.account("anna"), cloud.account("bert")
        self.tokens = {"anna": anna.token, "bert": bert.token, "admin": cloud.admin.token}
        self.projects = {"anna": anna.project_id, "bert": bert.project_id}
        whose = {
            "p1": Metered(anna.project_id, "shared"), "p2": Metered(anna.project_id, "own"),
            "p3": Metered(bert.project_id, "shared"),
        }  # fmt: skip
        self.history = History(HistoryConfig(latest_s=1e9), Database(f"sqlite:///{folder / 'metering.db'}"))
        self.history.note([self.reading(whose, BEGIN_S - 600, 0)], BEGIN_S - 600)
        hours = range(BEGIN_S, END_S + 7200, 3600)
        self.history.note([self.reading(whose, at_s, number * 3000) for number, at_s in enumerate(hours)], END_S + 7200)
        while self.history.roll_up(END_S + 14400):
            pass
        self.meters = Meters(Config(), self.history, lambda: END_S + 14400.0)
        cloud.services["operations"] = OperationsService(
            Gate(cloud.store, cloud.clock), cloud.states, None, self.meters
        )

    @staticmethod
    def reading(whose: dict[str, Metered], at_s: int, sent: int) -> Told:
        ports = tuple(
            PortCounts(name, 100.0, Count("d", 0.0, 0, 0), Count("d", 0.0, sent, sent // 100)) for name in whose
        )
        return Told("hv1", Reading("boot", at_s - BEGIN_S + 1000.0, ports), at_s, whose)

    def close(self) -> None:
        assert any(not self.meters.months.close(END_S + 14400) for _ in range(2000)), "it never ends"

    def ask(self, who: str, path: str) -> Answer:
        return self.cloud.call("GET", f"/operations/v1/usage/months{path}", token=self.tokens[who])

    async def asked(self, path: str) -> int:
        headers = {"host": "cloud:9696", "content-length": "0", "x-auth-token": self.tokens["admin"]}
        return (await self.cloud._call("GET", f"/operations/v1/usage/months{path}", headers, iter(()))).status


@pytest.fixture(scope="module")
def opened(shared_cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Billed:
    return Billed(shared_cloud, tmp_path_factory.mktemp("metering"))


@pytest.fixture(scope="module")
def before(opened: Billed) -> dict[str, Answer]:
    """What was told of January while it was open."""
    asked = [("admin", "project"), ("anna", "project"), ("anna", "network"), ("bert", "port")]
    told = {f"{who}?by={kind}": opened.ask(who, f"/2027-01?by={kind}") for who, kind in asked}
    return told | {"": opened.ask("admin", "")}


@pytest.fixture(scope="module")
def billed(opened: Billed, before: dict[str, Answer]) -> Billed:
    """It is closed."""
    assert before
    opened.close()
    return opened


def test_a_month_is_told_before_and_after_it_is_closed_and_then_alike_each_time(
    billed: Billed, before: dict[str, Answer]
) -> None:
    open_one = before["admin?by=project"].json["month"]
    assert (open_one["closed"], open_one["closed_at"]) == (False, None)
    assert before[""].json["months"][1:] == [
        {"month": "2027-01", "closed": False}, {"month": "2027-02", "closed": False},
    ]  # fmt: skip
    first = billed.ask("admin", "/2027-01")
    told = first.json["month"]
    assert told["lines"] == open_one["lines"]
    anna, bert = billed.projects["anna"], billed.projects["bert"]
    assert [line["project_id"] for line in told["lines"]] == sorted((anna, bert))
    of = {line["project_id"]: line for line in told["lines"]}
    assert (of[anna]["out_bytes"], of[bert]["out_bytes"]) == (2 * 744 * 3000, 744 * 3000)
    assert (of[anna]["out_95_bps"], of[bert]["out_95_bps"]) == (2 * 3000 * 8 / 300, 3000 * 8 / 300)
    assert (of[anna]["in_bytes"], of[anna]["in_95_bps"], of[bert]["metered_s"]) == (0, 0.0, 31 * 86400.0)
    assert (told["closed"], told["metered_since"], told["metered_until"]) == (
        True, "2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z",
    )  # fmt: skip
    billed.history.note([billed.reading({"p1": Metered("x", "y")}, END_S - 60, 10**9)], END_S + 20000)
    assert billed.ask("admin", "/2027-01?by=project").body == first.body
    known = [(one["month"], one["closed"]) for one in billed.ask("admin", "").json["months"]]
    assert known == [("2026-12", True), ("2027-01", True), ("2027-02", False)]


def test_a_tenant_gets_his_own_lines(billed: Billed, before: dict[str, Answer]) -> None:
    anna, bert = billed.projects["anna"], billed.projects["bert"]
    by = {
        "project": [(anna,), (bert,)],
        "network": [("own", anna), ("shared", anna), ("shared", bert)],
        "port": [("p1", "shared", anna), ("p2", "own", anna), ("p3", "shared", bert)],
    }
    for kind, all_of_them in by.items():
        for who, own in (("admin", {anna, bert}), ("anna", {anna}), ("bert", {bert})):
            told = billed.ask(who, f"/2027-01?by={kind}")
            for each in (told, before.get(f"{who}?by={kind}", told)):
                lines = each.json["month"]["lines"]
                ids = [tuple(value for name, value in line.items() if name.endswith("_id")) for line in lines]
                assert ids == sorted(each for each in all_of_them if each[-1] in own), (kind, who)


def test_what_there_is_no_month_of_is_an_error_and_not_zeros(billed: Billed) -> None:
    assert billed.ask("admin", "/2026-11").status == 404 and billed.ask("admin", "/2027-03").status == 404
    for path in ("/2027-13", "/yesterday", "/2027-01?by=host", "/2027-01?by=port&x=1"):
        assert billed.ask("admin", path).status == 400, path
    assert billed.cloud.call("GET", "/operations/v1/usage/months").status == 401


def test_one_month_that_is_open_is_added_up_at_a_time(billed: Billed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others are told to come again; what is closed is told all the same."""
    begun, go = Event(), Event()
    so_far = billed.meters.months.so_far

    def slow(month: Month, project_id: str | None) -> object:
        begun.set()
        assert go.wait(patient(30))
        return so_far(month, project_id)

    monkeypatch.setattr(billed.meters.months, "so_far", slow)

    async def both() -> list[int]:
        first = asyncio.create_task(billed.asked("/2027-02"))
        await asyncio.to_thread(begun.wait, patient(30))
        beside = [await billed.asked(path) for path in ("/2027-02", "/2027-01")]
        go.set()
        return [await first, *beside]

    assert billed.cloud.run(both()) == [200, 503, 200]


def test_a_month_is_printed_as_a_table_csv_and_json(billed: Billed, capsys: pytest.CaptureFixture[str]) -> None:
    told = billed.ask("admin", "/2027-01?by=network").json["month"]
    capsys.readouterr()
    show_month(told, "csv")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["network_id"], row["project_id"]) for row in rows] == [
        (line["network_id"], line["project_id"]) for line in told["lines"]
    ]
    assert {(row["month"], row["closed"], row["complete"]) for row in rows} == {
        ("2027-01", "True", str(told["complete"]))
    }
    assert [int(row["out_bytes"]) for row in rows] == [line["out_bytes"] for line in told["lines"]]
    show_month(told, "json")
    assert json.loads(capsys.readouterr().out) == told
    show_month(told, "table")
    head, titles, *table = capsys.readouterr().out.splitlines()
    assert head.startswith("2027-01: closed; ") and titles.startswith("NETWORK") and len(table) == 3
    assert "2.23 MB" in table[0]
