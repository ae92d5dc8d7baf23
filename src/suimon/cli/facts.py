"""What reads facts elsewhere, made from what the command line says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from suimon.api.nova.client import Nova
from suimon.api.nova.config import Config as NovaConfig
from suimon.api.nova.servers import Servers, ServersConfig
from suimon.enforcement.alarms import Alarms, AlarmsConfig
from suimon.enforcement.clock import Clock
from suimon.enforcement.files import Files, FilesConfig
from suimon.enforcement.flows import Flows, FlowsConfig, Talks
from suimon.enforcement.gathering import Gatherer, GathererConfig, Source
from suimon.enforcement.host_states import HostStates, HostStatesConfig
from suimon.enforcement.usage import Usage, UsageConfig
from suimon.store.leases import Lease, LeaseConfig
from suimon.store.store import Store
from suimon.telemetry.meter.meters import Meters


def facts_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--facts-directory`."""
    return click.option(
        "--facts-directory",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        help="Tables for policies: files SOURCE/TABLE.csv or .yaml in it, watched.",
    )(command)


def gatherers(store: Store, meters: Meters, talks: Talks, directory: str, nova: NovaConfig | None) -> list[Gatherer]:
    """One for what each controller can read, and one for each thing that only some may be given."""
    own = Clock(meters.now_s), HostStates(HostStatesConfig(), store), Alarms(AlarmsConfig(), store)
    counted = Usage(UsageConfig(), meters, meters.now_s), Flows(FlowsConfig(), talks, meters.now_s)
    found = [_gatherer(store, "facts", *own, *counted)]
    if directory:
        found.append(_gatherer(store, "facts-files", Files(FilesConfig(directory), meters.now_s)))
    if nova:
        found.append(_gatherer(store, "facts-nova", Servers(ServersConfig(), Nova(nova))))
    return found


def _gatherer(store: Store, turn: str, *sources: Source) -> Gatherer:
    return Gatherer(GathererConfig(), store, sources, Lease(LeaseConfig(), store, turn))
