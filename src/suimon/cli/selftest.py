"""`suimon selftest`: is what Suimon promises so, here?"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from suimon.cli.host import CloudError, request
from suimon.cli.lab import one_sentence, terminated_like_interrupted
from suimon.lab import processes
from suimon.lab.error import LabError
from suimon.lab.lab import Lab
from suimon.lab.layout import LabConfig
from suimon.lab.measure import Probe
from suimon.lab.selftest.ground import Hypervisor, PortGround, port_ground
from suimon.lab.selftest.in_lab import lab_ground
from suimon.lab.selftest.matrix import BOUNDS, Limit, Measured, measured


@click.group()
def selftest() -> None:
    """Measure what Suimon promises where it runs."""


@selftest.command()
@click.option("--here", default="", metavar="HOST", help="On this hypervisor, which the cloud knows as HOST.")
@click.option("--state", type=click.Path(path_type=Path), help="The controller's state directory, for its clouds.yaml.")
@click.option("--ovs-rundir", default="/run/openvswitch", show_default=True, help="With --here: where db.sock is.")
@click.option("--kbps", default=10_000, show_default=True, type=click.IntRange(1000), help="Limit in kilobits/s.")
@click.option("--kpps", default=1, show_default=True, type=click.IntRange(1, 100), help="Limit in 1,000 packets/s.")
@click.option("--seconds", default=4.0, show_default=True, type=click.FloatRange(2), help="Of each measurement.")
@click.option("--number", default=98, show_default=True, help="Of the lab: third byte of its underlay addresses.")
@click.option("--api-port", default=9598, show_default=True, help="Of the lab: where its controller listens.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")
def limits(here: str, kbps: int, kpps: int, seconds: float, as_json: bool, **where: Any) -> None:
    """Set a rate limit and a packet-rate limit on a port, and measure what gets through.

    TCP and UDP, out and in, on the same host, through a tunnel and by a floating IP: in a lab that is made for it. Or
    with --here between two ports of this hypervisor, as the admin of a clouds.yaml; they are removed afterwards.
    The exit status is 1 if any limit is off by more than 5 % (TCP: 10 %).
    """
    wanted = (Limit("kbps", kbps), Limit("packets/s", 1000 * kpps))
    place = _here(here, where, wanted) if here else _in_lab(where, wanted)
    with one_sentence(), terminated_like_interrupted(), place as ground:
        cells = measured(ground, _probe, wanted, seconds)
        done = list(cells) if as_json else list(_told(cells))
    if as_json:
        click.echo(json.dumps([_document(each) for each in done], indent=2))
    else:
        click.echo(f"{sum(each.held for each in done)} of {len(done)} limits hold.")
    if not all(each.held for each in done):
        raise SystemExit(1)


@contextmanager
def _in_lab(where: dict[str, Any], wanted: tuple[Limit, ...]) -> Iterator[PortGround]:
    config = LabConfig(name="selftest", hosts=2, number=where["number"], api_port=where["api_port"])
    lab = Lab(config, lambda line: click.echo(line, err=True))
    lab.up()
    try:
        with lab_ground(lab, wanted) as ground:
            yield ground
    finally:
        lab.down()


@contextmanager
def _here(host: str, where: dict[str, Any], wanted: tuple[Limit, ...]) -> Iterator[PortGround]:
    def call(method: str, path: str, body: Any) -> Any:
        try:
            return request(where["state"], method, path.removeprefix("/"), body)
        except CloudError as error:
            raise LabError(str(error)) from error

    with port_ground(call, [Hypervisor(host, f"unix:{where['ovs_rundir']}/db.sock")], wanted) as ground:
        yield ground


def _probe(namespace: str, *args: str) -> Probe:
    return Probe(namespace, args, processes.environment(Path("selftest")))


def _told(cells: Iterable[Measured]) -> Iterator[Measured]:
    click.echo(f"{'LIMIT':<18} {'PATH':<12} {'WAY':<4} {'BY':<4} {'ARRIVED':>9} {'OFF':>7}")
    for each in cells:
        cell = each.cell
        limit = f"{cell.limit.value} {cell.limit.unit}"
        verdict = "" if each.held else f"  {each.failure or f'not within {BOUNDS[cell.protocol]:.0%}'}"
        found = f"{each.rate:>9.0f} {each.off:>+7.1%}"
        click.echo(f"{limit:<18} {cell.path:<12} {cell.way:<4} {cell.protocol:<4} {found}{verdict}")
        yield each


def _document(each: Measured) -> dict[str, object]:
    cell = each.cell
    where = {"path": cell.path, "way": cell.way, "protocol": cell.protocol}
    found = {"arrived": each.rate, "off": round(each.off, 4), "held": each.held, "failure": each.failure}
    return {"limit": cell.limit.value, "unit": cell.limit.unit, **where, **found}
