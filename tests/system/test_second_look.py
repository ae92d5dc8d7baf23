"""Promise: who sends mail at 50 sessions a second is found by the switch's own samples, looked at again on the switch
itself and blocked, soon after the detector's threshold; a neighbour that is as busy with another service is not.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from suimon.agent.session import exported_as
from suimon.cli.watching import Watching
from suimon.dataplane.exports import Export
from suimon.dataplane.layout import Layout
from suimon.dataplane.switch import Config as SwitchConfig
from suimon.dataplane.switch import Plugged, Switch
from suimon.detection.records import Records
from suimon.detection.thresholds import Thresholds
from suimon.model.actor import SYSTEM
from suimon.model.collectors import MapAnswer, MappedPort, MapRequest
from suimon.model.findings import Finding
from suimon.model.questions import Look, Traced
from suimon.model.things import Port, Restriction
from suimon.resources.findings import note_findings
from suimon.response.asked import Asked
from suimon.response.responder import Responder, ResponderConfig
from suimon.telemetry.collecting import Collecting, Config
from suimon.telemetry.flow.collector import Collector
from suimon.telemetry.flow.exporters import Exporters
from suimon.telemetry.flow.receiver import Config as ReceiverConfig
from suimon.telemetry.flow.receiver import Receiver
from suimon.telemetry.history.segments import Config as SegmentsConfig
from suimon.telemetry.history.segments import Segments
from tests.patience import patient
from tests.response.cloud import Cloud
from tests.system.live import LiveCloud
from tests.system.namespaces import inside
from tests.system.openvswitch import OpenVSwitch
from tests.system.senders import GUESTS, MAC, SERVERS, going_on, senders, session
from tests.system.test_flow_records import running

THRESHOLD = Thresholds().mass_mail.servers
SOON_S = 3.0


@pytest.fixture(scope="module")
def live(kept_switch: OpenVSwitch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCloud]:
    with senders(kept_switch, tmp_path_factory.mktemp("ip"), 25, 80) as made:
        kept_switch.vsctl("set", "bridge", "br-int", "external_ids:suimon-owner=bridge/br-int")
        yield made


class Controller:
    """A controller's part: to the collector its port map, to the responder what asks hosts; and when what happened."""

    def __init__(self, live: LiveCloud, cloud: Cloud, plugged: dict[str, Plugged], export: Export) -> None:
        self._live, self._cloud = live, cloud
        self.at: dict[str, float] = {}
        numbers = {name: exported_as(plugged[name], export).ifindex for name in GUESTS}
        self._ports = tuple(
            MappedPort(name, "red", "n", "h1", "127.0.0.1", numbers[name], f"{MAC}0{at}", (GUESTS[name],))
            for at, name in enumerate(GUESTS, 1)
        )

    def happened(self, what: str) -> None:
        self.at.setdefault(what, time.monotonic())

    async def ports(self, asked: MapRequest) -> MapAnswer:
        if asked.store:
            await asyncio.Event().wait()
        return MapAnswer("s", 1, 1, True, self._ports)

    async def findings(self, found: Sequence[Finding]) -> None:
        self.happened("found")
        await self._cloud.store.write(lambda tx: note_findings(tx, SYSTEM, found), SYSTEM)
        self.happened("noted")

    async def ask(self, host: str, question: Look) -> Traced:
        self.happened("asked")
        activity = await asyncio.to_thread(self._live.look, question)
        self.happened("looked")
        return Traced("q", activity=activity)


def test_who_sends_spam_is_blocked_soon_and_nobody_else(live: LiveCloud, tmp_path: Path) -> None:
    cloud = Cloud()
    try:
        one = cloud.read(lambda tx: tx.select(Port)[0])
        guests = [
            msgspec.structs.replace(one, id=name, mac_address=f"{MAC}0{at}", fixed_ips=())
            for at, name in enumerate(GUESTS, 1)
        ]
        cloud.write(lambda tx: tx.insert_many(guests))
        cloud.loop.run_until_complete(_scenario(live, cloud, tmp_path))
        (incident,) = cloud.incidents()
        assert (incident.subject_id, incident.state) == ("spammer", "restricted")
        (block,) = cloud.active()
        assert (block.target, block.port_min, block.port_max) == ("spammer", 25, 25)
        (looked,) = [words for words in cloud.words(incident.id, "evidence") if "second look" in words]
        assert "sessions a second" in looked
    finally:
        cloud.close()


async def _scenario(live: LiveCloud, cloud: Cloud, directory: Path) -> None:
    switch = Switch(SwitchConfig(rundir=live.switch.rundir))
    async with asyncio.timeout(patient(60)), running(switch.run()):
        await switch.ready()
        while not all(name in switch.plugged and switch.plugged[name].ifindex for name in GUESTS):
            await switch.changed()
        export = Export("", sampling=1)
        controller = Controller(live, cloud, dict(switch.plugged), export)
        segments = Segments(SegmentsConfig(directory), time.time)
        collecting = Collecting(Config(), Collector(Exporters()), segments, controller)
        collecting.detection = Watching(Records(Thresholds(), 1))
        receiver = Receiver(ReceiverConfig((("127.0.0.1", 0),)), collecting.take, time.time)
        inside(live.switch.namespace, receiver.open)
        export = msgspec.structs.replace(export, collector=f"127.0.0.1:{receiver.addresses[0][1]}")
        responder = Responder(ResponderConfig(), cloud.store, Asked(controller, cloud.senses, cloud.senses.offsets))
        async with running(collecting.run(receiver)), running(responder.run()):  # type: ignore[arg-type]
            await collecting.mapped.wait()
            await switch.ensure(Layout(export=export))
            with going_on(live, "busy", _session(controller, 80)), going_on(live, "spammer", _session(controller, 25)):
                await _restricted(cloud)
                controller.happened("restricted")
        await switch.ensure(Layout())
    _judge(controller.at)


def _session(controller: Controller, l4_port: int) -> Callable[[int], None]:
    begin = session(l4_port, SERVERS)

    def act(number: int) -> None:
        if l4_port == 25 and number == THRESHOLD:
            controller.happened("threshold")
        with suppress(TimeoutError):
            begin(number)

    return act


async def _restricted(cloud: Cloud) -> None:
    with cloud.store.subscribe() as changed:
        while not await cloud.store.read(lambda tx: tx.select(Restriction)):
            await changed.wait()
            changed.clear()


def _judge(at: dict[str, float]) -> None:
    """Each step begins at once when the one before has ended; the whole is `SOON_S` after the threshold."""
    order = ["threshold", "found", "noted", "asked", "looked", "restricted"]
    steps = {after: round(at[after] - at[before], 3) for before, after in pairwise(order)}
    print(steps)
    assert at["restricted"] - at["threshold"] <= patient(SOON_S), steps
