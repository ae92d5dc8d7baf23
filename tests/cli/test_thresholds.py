"""One file of thresholds for collectors and controllers: each finds by its own sections and says which are the other's;
a controller looks a second time by all of them.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import msgspec
import pytest
from structlog.testing import capture_logs

from suimon.cli.automation import automation, automation_config
from suimon.cli.collector import _thresholds
from suimon.detection.engine import Tally
from suimon.distribution.config import DistributionConfig
from suimon.distribution.distribution import Distribution
from suimon.model.counts import Activity
from suimon.model.findings import Direction, Finding, Subject
from suimon.model.questions import Look, Traced
from suimon.model.rulebook import Place
from suimon.model.samples import Dropped
from suimon.resources import hosts
from suimon.response.accusations import kinds_by
from suimon.response.asked import Asked
from suimon.response.metered import Metered
from suimon.response.senses import Rate
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
    assert (taken.forging.packets, taken.heavy_traffic.enabled, taken.mass_mail.servers) == (7, False, 9)
    left = [line["detectors"] for line in logs if line["event"] == "thresholds_left"]
    assert left == [["forging", "heavy_traffic"], ["mass_mail"]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("forging: {packets: 0}", "line 1, column 20"),
        ("mass_mail: {servers: 0}", "line 1, column 22"),
        ("forgery: {}", "none of the detectors"),
    ],
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


@pytest.mark.parametrize(("servers", "holds"), [(2, True), (40, False), (300, False)])
def test_the_second_look_goes_by_the_same_file(tmp_path: Path, servers: int, *, holds: bool) -> None:
    """By the host, and by samples where none can be asked: a guest that opens a session a second, or sends a packet."""
    file = tmp_path / "thresholds.yaml"
    file.write_text(f"mass_mail: {{servers: {servers}, window_s: 30, l4_ports: [2525]}}")
    kinds = kinds_by(automation_config(said(file)).thresholds)
    numbers = {"sessions": 3.0, "window_s": 1.0, "l4_port": 2525.0}
    finding = Finding(
        id="f", detector="mass_mail", subject=Subject("port", "p"), role="source", since_s=0, seen_s=0, confidence=1,
        numbers=numbers, words="", evidence=(),
    )  # fmt: skip
    place = Place(target=finding.subject, port_ids=frozenset({"p"}), bound={"p": "h1"})

    class Host:
        async def ask(self, host: str, question: Look) -> Traced:
            return Traced("q", activity=Activity(1.0, 9, 900, 9, 900, sessions=1))

    class Sampled(Metered):
        async def rates(self, place: Place, direction: Direction, begun_s: float, ended_s: float) -> list[Rate]:
            return [Rate(1.0, 0.001, direction)]

    async def offsets() -> dict[str, float]:
        return {}

    meters = Meters(MetersConfig(), History(HistoryConfig(), Database(f"sqlite:///{tmp_path}/metering.db")))
    sampled = Sampled(meters, lambda: 10.0, kinds)
    for bound in (place, msgspec.structs.replace(place, bound={})):
        looked = asyncio.run(Asked(Host(), sampled, offsets, kinds).look(finding, bound))
        assert looked.holds is holds, looked.words
