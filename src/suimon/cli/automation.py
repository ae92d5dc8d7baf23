"""What acts by itself in a controller, made from what the command line says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import click
import msgspec
import structlog

from suimon.cli.sampled import Sampled
from suimon.detection.engine import Tally
from suimon.detection.threshold_file import OF_COLLECTORS, ThresholdsError, read_as
from suimon.detection.thresholds import Thresholds
from suimon.distribution.distribution import Distribution
from suimon.response.accusations import kinds_by
from suimon.response.asked import Asked
from suimon.response.delivery import Deliverer, DelivererConfig
from suimon.response.metered import Metered
from suimon.response.responder import Responder, ResponderConfig
from suimon.store.leases import Lease, LeaseConfig
from suimon.store.store import Store
from suimon.telemetry.meter.meters import Meters

log = structlog.get_logger()
_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


class AutomationConfig(msgspec.Struct, frozen=True):
    """`acts`: whether findings, usage and what policies call for lead to anything here. What is in force ends on time
    all the same.

    `usage_every_s`: how often it is looked whether anybody used more than usage rules allow. `thresholds` are of the
    detectors here, and of the second look at what all of them find.
    """

    acts: bool = True
    usage_every_s: float = 60.0
    thresholds: Thresholds = Thresholds()


class Component(Protocol):
    """Runs until cancelled."""

    async def run(self) -> None: ...


class Acting(NamedTuple):
    """What is to be run, and how its detectors do."""

    components: list[Component]
    detectors: Callable[[], Mapping[str, Tally]]


def automation_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that `automation_config` reads."""
    words = "Whether this controller takes part in acting on findings, usage and what policies call for."
    taken = "YAML of what detectors take for an attack: those here, and for the second look all. Else defaults."
    every = "Seconds between two looks of usage rules at what the meter counted."
    seconds = click.FloatRange(min=1.0, max=600.0)
    for option in (
        click.option("--automation/--no-automation", "automation", default=True, show_default=True, help=words),
        click.option("--thresholds", type=_FILE, help=taken),
        click.option("--usage-every", "usage_every_s", default=60.0, type=seconds, show_default=True, help=every),
    ):
        command = option(command)
    return command


def automation_config(options: Mapping[str, Any]) -> AutomationConfig:
    """What these options say. Raises ClickException for thresholds that can't be used."""
    thresholds = _thresholds(options["thresholds"])
    return AutomationConfig(options["automation"], options["usage_every_s"], thresholds)


def automation(config: AutomationConfig, store: Store, meters: Meters, hosts: Distribution) -> Acting:
    """All of it."""
    if not config.acts:
        return Acting([], dict)
    deliverer = Deliverer(DelivererConfig(), store, Lease(LeaseConfig(), store, "delivery"))
    sampled = Sampled(config.thresholds, store)
    meters.listen(sampled.hear)
    meters.listen_to_drops(sampled.hear_drops)
    turn = Lease(LeaseConfig(), store, "response")
    kinds = kinds_by(config.thresholds)
    senses = Asked(hosts.questions, Metered(meters, meters.now_s, kinds), hosts.clock_offsets, kinds)
    responder = Responder(ResponderConfig(usage_every_s=config.usage_every_s), store, senses, turn)
    return Acting([deliverer, sampled, responder], lambda: sampled.tallies)


def _thresholds(path: Path | None) -> Thresholds:
    if path is None:
        return Thresholds()
    try:
        found, named = read_as(Thresholds, path.read_text())
    except (OSError, UnicodeDecodeError, ThresholdsError) as error:
        raise click.ClickException(f"--thresholds {path}: {error}") from None
    if left := sorted(named.intersection(OF_COLLECTORS)):
        reason = "here the second look goes by them; collectors find by theirs: suimon collector --thresholds"
        log.warning("thresholds_left", detectors=left, reason=reason)
    return found
