"""What was metered is told: all to operators, his own project's to a tenant, sums by project and host to Prometheus."""

import asyncio
from pathlib import Path
from urllib.parse import quote

import pytest

from suimon.api.gate import Gate
from suimon.api.metrics import Metrics
from suimon.api.operations.service import OperationsService
from suimon.cli.usage import lines, plot
from suimon.detection.engine import Tally
from suimon.model.counts import Count, Metered, PortCounts, Reading
from suimon.telemetry.meter.database import Database
from suimon.telemetry.meter.history import Config as HistoryConfig
from suimon.telemetry.meter.history import History
from suimon.telemetry.meter.meters import Config, Meters
from tests.api.cloud import Cloud

BEGAN_S = 1_800_000_000.0
LAST_S = BEGAN_S + 600


def meters(folder: Path, whose: dict[str, Metered]) -> Meters:
    """Ten minutes in which each port got twice what it sent, which was a thousand bytes more in each step."""
    history = History(HistoryConfig(), Database(f"sqlite:///{folder / 'metering.db'}"))
    now_s = BEGAN_S
    made = Meters(Config(), history, lambda: now_s)

    async def fill() -> None:
        nonlocal now_s
        sent = 0
        for at in range(61):
            now_s = BEGAN_S + at * 10
            sent += 1000 * at
            received, out = (Count("d", 0.0, times * sent, sent // 10) for times in (2, 1))
            counts = received, out, Count("flow", 100.0, 0, 0), Count("flow", 100.0, sent, sent // 10)
            ports = tuple(PortCounts(name, 100.0, *counts) for name in whose)
            made.take("hv1", Reading("boot", 100.0 + at * 10, ports), whose)
            assert await made.write()

    asyncio.run(fill())
    return made


@pytest.fixture
def metered(cloud: Cloud, tmp_path: Path) -> tuple[Cloud, dict[str, str]]:
    anna, bert = cloud.account("anna"), cloud.account("bert")
    whose = {"p1": Metered(anna.project_id, "shared"), "p2": Metered(bert.project_id, "shared")}
    gate = Gate(cloud.store, cloud.clock)
    made = meters(tmp_path, whose)
    cloud.services["operations"] = OperationsService(gate, cloud.states, None, made)
    cloud.services["metrics"] = Metrics(gate, made, "told-to-prometheus", lambda: {"forging": Tally(3, 4)})
    return cloud, {"anna": anna.token, "bert": bert.token, "admin": cloud.admin.token, "project": anna.project_id}


def asked(cloud: Cloud, token: str, query: str) -> dict:
    window = f"since={quote('2027-01-15T08:00:00Z')}&until={LAST_S:.0f}"
    answer = cloud.call("GET", f"/operations/v1/usage?{window}&{query}", token=token)
    assert answer.status == 200, answer.body
    return answer.json["usage"]


def test_a_tenant_sees_his_own_and_an_operator_all(metered: tuple[Cloud, dict[str, str]]) -> None:
    cloud, who = metered
    whole = sum(1000 * at for at in range(61))
    for token, query, ports in (
        ("anna", "", 1),
        ("anna", "port_id=p1", 1),
        ("anna", "port_id=p2", 0),
        ("anna", "network_id=shared", 1),
        ("bert", f"project_id={who['project']}", 0),
        ("admin", "", 2),
        ("admin", "network_id=shared", 2),
        ("admin", "port_id=nobody", 0),
    ):
        told = asked(cloud, who[token], query)["total"]
        assert (told["out_bytes"], told["in_bytes"]) == (ports * whole, 2 * ports * whole), (token, query)


def test_a_metering_label_counts_what_its_project_had_with_the_outside(metered: tuple[Cloud, dict[str, str]]) -> None:
    cloud, who = metered
    body = {"metering_label": {"name": "out", "project_id": who["project"]}}
    made = cloud.call("POST", "/v2.0/metering/metering-labels", body, who["admin"]).json
    label = made["metering_label"]["id"]

    def rule(direction: str, prefix: str) -> None:
        wanted = {"metering_label_id": label, "direction": direction, "remote_ip_prefix": prefix}
        answer = cloud.call(
            "POST", "/v2.0/metering/metering-label-rules", {"metering_label_rule": wanted}, who["admin"]
        )
        assert answer.status == 201, answer.body

    whole = sum(1000 * at for at in range(61))
    rule("egress", "0.0.0.0/0")
    told = asked(cloud, who["admin"], f"metering_label_id={label}")
    assert (told["kind"], told["id"]) == ("metering_label", label)
    assert {name: figure for name, figure in told["total"].items() if figure} == {
        "out_outside_bytes": whole,
        "out_outside_packets": sum(100 * at for at in range(61)),
    }
    assert cloud.call("GET", f"/operations/v1/usage?metering_label_id={label}", token=who["bert"]).status == 404
    rule("ingress", "192.0.2.0/24")
    partly = asked(cloud, who["admin"], f"metering_label_id={label}")
    assert partly["total"] == told["total"] and told["uncounted_rules"] == []
    (left,) = partly["uncounted_rules"]
    assert lines(partly)[-1].endswith(f"rules {left}")
    (whole_id,) = [
        one["id"]
        for one in cloud.call("GET", "/v2.0/metering/metering-label-rules", token=who["admin"]).json[
            "metering_label_rules"
        ]
        if one["id"] != left
    ]
    assert cloud.call("DELETE", f"/v2.0/metering/metering-label-rules/{whole_id}", token=who["admin"]).status == 204
    refused = cloud.call("GET", f"/operations/v1/usage?metering_label_id={label}", token=who["admin"])
    assert refused.status == 400 and "about a prefix" in refused.body.decode()


def test_steps_rates_and_what_is_asked_wrongly(metered: tuple[Cloud, dict[str, str]]) -> None:
    cloud, who = metered
    told = asked(cloud, who["anna"], "port_id=p1&step=60")
    assert told["kind"] == "port" and len(told["steps"]) == 10
    sent = [sum(1000 * at for at in range(6 * step + 1, 6 * step + 7)) for step in range(10)]
    assert [each["out_bytes"] for each in told["steps"]] == sent
    assert told["percentile_95"]["out_bps"] == max(sent) * 8 / 60
    assert lines(told)[0].startswith("port p1: 2027-01-15T08:00:00Z")
    assert plot([0, 1, 4, 8]) == " ▁▄█" and plot([0.0, 0.0]) == "  " and len(plot([1.0] * 1000)) <= 72
    for query in ("step=7", "step=0", "step=x", "since=yesterday", "port_id=a&network_id=b", "since=5&until=1", "x=1"):
        assert cloud.call("GET", f"/operations/v1/usage?{query}", token=who["anna"]).status == 400, query
    old = cloud.call("GET", "/operations/v1/usage?since=1000&until=2000&step=10", token=who["anna"])
    assert old.status == 400 and "not kept" in old.body.decode()
    assert cloud.call("GET", "/operations/v1/usage").status == 401


def test_metrics_are_for_who_shows_the_token_and_for_operators(metered: tuple[Cloud, dict[str, str]]) -> None:
    cloud, who = metered
    shown = {"authorization": "Bearer told-to-prometheus"}
    told = cloud.call("GET", "/metrics", headers=shown).body.decode().splitlines()
    whole = sum(1000 * at for at in range(61))
    assert f'suimon_project_out_bytes_total{{host="hv1",project="{who["project"]}"}} {whole}' in told
    assert "suimon_metering_up 1" in told
    assert 'suimon_detector_faults_total{detector="forging"} 3' in told
    assert {"suimon_breaker_open 0", "suimon_incidents_waiting 0"} <= set(told)
    assert 'suimon_findings_untold_total{detector="forging"} 4' in told
    assert not any("port=" in line for line in told)
    ports = cloud.call("GET", "/metrics?host=hv1", headers=shown).body.decode().splitlines()
    assert f'suimon_port_in_bytes_total{{host="hv1",port="p1"}} {2 * whole}' in ports
    assert cloud.call("GET", "/metrics", token=who["admin"]).status == 200
    assert cloud.call("GET", "/metrics", token=who["anna"]).status == 403
    assert cloud.call("GET", "/metrics", headers={"authorization": "Bearer guess"}).status == 401
