"""What acts by itself in a controller, made from what the command line says."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import click
import msgspec

from suimon.cli.sampled import Sampled
from suimon.detection.counters import CounterThresholds
from suimon.distribution.distribution import Distribution
from suimon.response.asked import Asked
from suimon.response.delivery import Deliverer, DelivererConfig
from suimon.response.metered import Metered
from suimon.response.responder import Responder, ResponderConfig
from suimon.store.leases import Lease, LeaseConfig
from suimon.store.store import Store
from suimon.telemetry.meter.meters import Meters


class AutomationConfig(msgspec.Struct, frozen=True):
    """`acts`: whether findings, usage and what policies call for lead to anything here. What is in force ends on time
    all the same.

    `usage_every_s`: how often what usage rules count is summed, which costs what the cloud's ports are.
    """

    acts: bool = True
    usage_every_s: float = 60.0


class Component(Protocol):
    """Runs until cancelled."""

    async def run(self) -> None: ...


def automation_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that `automation_config` reads."""
    words = "Whether this controller takes part in acting on findings, usage and what policies call for."
    every = "Seconds between two looks of usage rules at what the meter counted."
    seconds = click.FloatRange(min=1.0, max=600.0)
    for option in (
        click.option("--automation/--no-automation", "automation", default=True, show_default=True, help=words),
        click.option("--usage-every", "usage_every_s", default=60.0, type=seconds, show_default=True, help=every),
    ):
        command = option(command)
    return command


def automation_config(options: Mapping[str, Any]) -> AutomationConfig:
    """What these options say."""
    return AutomationConfig(acts=options["automation"], usage_every_s=options["usage_every_s"])


def automation(config: AutomationConfig, store: Store, meters: Meters, hosts: Distribution) -> list[Component]:
    """What is to be run."""
    if not config.acts:
        return []
    deliverer = Deliverer(DelivererConfig(), store, Lease(LeaseConfig(), store, "delivery"))
    sampled = Sampled(CounterThresholds(), store)
    meters.listen(sampled.hear)
    meters.listen_to_drops(sampled.hear_drops)
    turn = Lease(LeaseConfig(), store, "response")
    senses = Asked(hosts.questions, Metered(meters, time.time), hosts.clock_offsets)
    return [deliverer, sampled, Responder(ResponderConfig(usage_every_s=config.usage_every_s), store, senses, turn)]
