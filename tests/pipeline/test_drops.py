"""Whatever a port's own flows and meters drop has a reason that its owner can be told."""

from suimon.pipeline.drops import WORDS, reason
from suimon.pipeline.flow import Flow, Meter
from suimon.pipeline.tables import Stage
from tests.pipeline import scenario
from tests.pipeline.scenario import Asked

UNTOLD = {Stage.DELIVER}
"""A flooded packet that would come back to its sender."""


def test_all_that_drops_is_told_and_every_reason_occurs() -> None:
    found: set[str] = set()

    def notice(asked: Asked) -> None:
        for installed in asked.installed.values():
            for one in installed:
                if one.owner.kind != "port" or not isinstance(one, Flow | Meter):
                    continue
                why = reason(one)
                if why is not None:
                    found.add(why)
                elif isinstance(one, Meter) or not one.actions:
                    assert isinstance(one, Flow) and one.key.stage in UNTOLD, f"nobody is told of {one}"

    for file in scenario.files():
        scenario.replay(file.read_text(), notice)
    assert found == set(WORDS)
