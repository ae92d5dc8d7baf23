"""One file of thresholds for collectors and controllers: each takes its own sections and says which it leaves."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import pytest
from structlog.testing import capture_logs

from suimon.cli.automation import automation, automation_config
from suimon.cli.collector import _thresholds
from suimon.detection.engine import Tally
from suimon.distribution.config import DistributionConfig
from suimon.distribution.distribution import Distribution
from suimon.model.samples import Dropped
from suimon.resources import hosts
from suimon.store.store import Store, StoreConfig
from suimon.telemetry.meter.database import Database
from suimon.telemetry.meter.history import Config as HistoryConfig
from suimon.telemetry.meter.history import History
from suimon.telemetry.meter.meters import Config as MetersConfig
from suimon.telemetry.meter.meters import Meters

BOTH = "forging: {packets: 7}\nheavy_traffic: {enabled: false}\nmass_mail: {servers: 9}\n"


def said(path: Path) -> dict[str, object]:
    return {"automation": True, "usage_every_s": 60.0, "thresholds": path}


def test_each_takes_its_own_and_names_what_it_leaves(tmp_path: Path) -> None:
    file = tmp_path / "thresholds.yaml"
    file.write_text(BOTH)
    with capture_logs() as logs:
        assert _thresholds(file).mass_mail.servers == 9
        taken = automation_config(said(file)).thresholds
    assert (taken.forging.packets, taken.heavy_traffic.enabled) == (7, False)
    left = [line["detectors"] for line in logs if line["event"] == "thresholds_left"]
    assert left == [["forging", "heavy_traffic"], ["mass_mail"]]


@pytest.mark.parametrize(
    ("text", "words"), [("forging: {packets: 0}", "line 1, column 20"), ("forgery: {}", "none of the detectors")]
)
def test_what_is_wrong_ends_the_start_of_both(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "thresholds.yaml"
    file.write_text(text)
    with pytest.raises(click.ClickException, match=words):
        automation_config(said(file))
    with pytest.raises(ValueError, match=words):
        _thresholds(file)


def test_a_controller_s_detectors_go_by_its_file(tmp_path: Path) -> None:
    async def scenario(text: str) -> dict[str, Tally]:
        file = tmp_path / "thresholds.yaml"
        file.write_text(text)
        store = Store(StoreConfig(url=f"sqlite:///{tmp_path}/suimon.db"))
        store.open()
        meters = Meters(MetersConfig(), History(HistoryConfig(), Database(f"sqlite:///{tmp_path}/metering.db")))
        try:
            made = automation(
                automation_config(said(file)), store, meters, Distribution(DistributionConfig(), store, hosts)
            )
            sampled = made.components[1]
            sampled.hear_drops([Dropped("p", "tenant", "spoofed", 8, 10.0, 20.0)])  # type: ignore[attr-defined]
            assert len(sampled._found) == 1  # type: ignore[attr-defined]
            return dict(made.detectors())
        finally:
            store.close()

    assert asyncio.run(scenario(BOTH)) == {"forging": Tally(0, 0)}
