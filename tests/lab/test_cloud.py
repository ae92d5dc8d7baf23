"""What the lab reads of its agents' logs."""

from pathlib import Path

import pytest

from suimon.cli import logs
from suimon.lab.cloud import Cloud
from suimon.lab.layout import LabConfig, Layout

AWAY, NOBODY = {"away": ["172.31.0.12"], "serving": True}, {"away": [], "serving": False}


@pytest.mark.parametrize(
    ("said", "away"),
    [
        ([], False),
        ([NOBODY], False),
        ([AWAY], True),
        ([AWAY, NOBODY], False),
        ([NOBODY, AWAY | {"serving": False}], True),
    ],
)
def test_a_gateway_is_away_to_an_agent_that_said_so_last(
    said: list[dict[str, object]], away: bool, tmp_path: Path
) -> None:
    layout = Layout(LabConfig(root=str(tmp_path)))
    cloud = Cloud(layout, lambda name, process: None)
    for host in layout.hosts:
        host.directory.mkdir(parents=True)
        cloud.log(host.name).write_text("event=other away=[]\n")
    lines = [logs.line(None, "info", {"event": "gateways_judged", **each}) for each in said]
    cloud.log("hv2").write_text("\n".join([*lines, "event=view_in_force revision=3"]))
    assert cloud.judgements() == {"hv1": [], "hv2": lines, "hv3": []}
    assert cloud.is_a_gateway_away() is away
