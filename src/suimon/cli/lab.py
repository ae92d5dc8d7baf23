"""`suimon lab`: a data centre on this machine."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import FrameType

import click
import msgspec

from suimon.cli.swarm import swarm, swarm_part
from suimon.lab.error import LabError
from suimon.lab.lab import Lab, Status
from suimon.lab.layout import LabConfig
from suimon.lab.migration import migrate as migrated
from suimon.lab.openstack import OpenStack
from suimon.lab.tour.tour import Tour


@click.group()
@click.option(
    "--name",
    default="suimon",
    envvar="SUIMON_LAB_NAME",
    show_default=True,
    show_envvar=True,
    help="Which lab; everything it makes begins with this.",
)
@click.option("--root", default="/var/lib/suimon-lab", show_default=True, help="Where labs keep their state.")
@click.pass_context
def lab(context: click.Context, name: str, root: str) -> None:
    """Hypervisors, switches and guests in network namespaces: a data centre on this machine."""
    context.obj = LabConfig(name=name, root=root)


_hosts = click.option("--hosts", default=3, show_default=True, help="How many hypervisors.")
_number = click.option("--number", default=0, show_default=True, help="Third byte of 10.254.N.0/24 and 172.31.N.0/24.")
_api_port = click.option("--api-port", default=9696, show_default=True, help="Where clients reach the controller.")


@lab.command()
@_hosts
@_number
@_api_port
@click.option("--no-cloud", is_flag=True, help="Hypervisors and their switches only: no controller, no agents.")
@click.pass_obj
def up(config: LabConfig, hosts: int, number: int, api_port: int, no_cloud: bool) -> None:
    """Build the lab and start the cloud in it."""
    with one_sentence():
        settings = {"hosts": hosts, "number": number, "api_port": api_port, "sampling": _sampling()}
        made = Lab(msgspec.structs.replace(config, **settings), click.echo)
        made.up(cloud=not no_cloud)
        click.echo("The lab is up." if no_cloud else OpenStack(made.layout).invitation())


@lab.command()
@click.pass_obj
def down(config: LabConfig) -> None:
    """Remove everything that the lab made, whatever state it is in."""
    with one_sentence():
        Lab.load(config, click.echo).down()


@lab.command()
@click.pass_obj
def status(config: LabConfig) -> None:
    """Say what is there and running; exit status 1 if not all of it is."""
    with one_sentence():
        loaded = Lab.load(config, click.echo)
        config, found = loaded.layout.config, loaded.status()
    for line in _status_lines(config, found):
        click.echo(line)
    if not _healthy(config, found):
        raise SystemExit(1)


@lab.command("exec", context_settings={"ignore_unknown_options": True})
@click.argument("where", metavar="GUEST")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def execute(config: LabConfig, where: str, command: tuple[str, ...]) -> None:
    """Run a command in a guest, a hypervisor (hv1 …), `internet` or `fabric`."""
    with one_sentence():
        running = Lab.load(config, click.echo)
        running.require_up()
        namespace = running.namespace(where)
    os.execvp("ip", ["ip", "netns", "exec", namespace, *command])  # noqa: S606, S607


@lab.group()
def guest() -> None:
    """Guests: namespaces that stand for virtual machines."""


@guest.command()
@click.argument("name")
@click.option("--host", required=True, help="The hypervisor to plug it into (hv1 …).")
@click.option("--port", "port", required=True, help="Name or id of the port it is plugged with.")
@click.option("--no-dhcp", is_flag=True, help="Plug it only; ask for no address.")
@click.option("--movable", is_flag=True, help="One that `migrate` can move.")
@click.pass_obj
def add(config: LabConfig, /, name: str, host: str, port: str, **how: bool) -> None:
    """Plug a new guest into a hypervisor with a port of the cloud, and get its address by DHCP."""
    with one_sentence():
        running = Lab.load(config, click.echo)
        running.require_up()
        with OpenStack(running.layout) as cloud:
            shown = cloud.show("port", port)
        made = running.guests.add(name, host, str(shown["id"]), str(shown["mac_address"]), movable=how["movable"])
        if not how["no_dhcp"]:
            made = running.guests.lease(made)
        click.echo(f"Guest {name} is on {host} with {made.lease.get('ip', 'no address')}.")


@guest.command()
@click.argument("name")
@click.option("--to", required=True, help="The hypervisor that it goes to (hv1 …).")
@click.pass_obj
def migrate(config: LabConfig, name: str, to: str) -> None:
    """Move a running guest to another hypervisor, as Nova's live migration does."""
    with one_sentence():
        running = Lab.load(config, click.echo)
        running.require_up()
        with OpenStack(running.layout, click.echo) as cloud:
            moved = migrated(running, cloud, name, to)
        click.echo(f"Guest {name} is on {moved.host}.")


@guest.command()
@click.argument("name")
@click.pass_obj
def remove(config: LabConfig, name: str) -> None:
    """Unplug a guest and forget it; its port stays."""
    with one_sentence():
        running = Lab.load(config, click.echo)
        running.require_up()
        running.guests.remove(name)


@lab.command()
@_number
@_api_port
@click.option("--exit", "leave", is_flag=True, help="Take the lab down after the tour instead of leaving it up.")
@click.option("--keep", is_flag=True, help="Leave the lab up when a step fails, to look at it.")
@click.pass_obj
def tour(config: LabConfig, /, leave: bool, keep: bool, **settings: int) -> None:
    """Build the lab, show on it what Suimon does, check it, and measure it."""
    with one_sentence(), terminated_like_interrupted():
        made = Lab(msgspec.structs.replace(config, **settings, sampling=_sampling()), click.echo)
        click.echo("Building the lab")
        made.up()
        passed = False
        try:
            passed = Tour(made, click.echo).run()
            if passed and not leave:
                click.echo(f"\n{OpenStack(made.layout).invitation()}\nCtrl-C ends this and takes the lab down.")
                signal.pause()
        except KeyboardInterrupt:
            click.echo("\nTaking the lab down")
        finally:
            if passed or not keep:
                made.down()
    if not passed:
        raise SystemExit(1)


lab.add_command(swarm)
lab.add_command(swarm_part)


@contextmanager
def one_sentence() -> Iterator[None]:
    """What the lab can't do ends as one sentence and exit status 1."""
    try:
        yield
    except LabError as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM takes the lab down as Ctrl-C does."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _sampling() -> int:
    """Flow records need the extra `telemetry`. One of eight shows a spammer's sessions, and costs a flood little."""
    return 8 if find_spec("numpy") and find_spec("duckdb") else 0


def _status_lines(config: LabConfig, found: Status) -> Iterator[str]:
    yield f"The lab {config.name!r} is {found.state}."
    if found.state != "up":
        return
    yield f"controller  {_running(found.controller_pid)}"
    if config.sampling:
        yield f"collector   {_running(found.collector_pid)}"
    for host in found.hosts:
        switch = "running" if host.switch_running else "dead"
        yield f"{host.name:<11} Open vSwitch {switch}, agent {_running(host.agent_pid)}"
    for known in found.guests:
        yield f"{known.name:<11} on {known.host}, port {known.port_id}, {known.lease.get('ip', 'no address')}"


def _running(pid: int | None) -> str:
    return "dead" if pid is None else f"running (pid {pid})"


def _healthy(config: LabConfig, found: Status) -> bool:
    hosts = all(host.switch_running and host.agent_pid for host in found.hosts)
    collected = found.collector_pid is not None or not config.sampling
    return found.state == "up" and found.controller_pid is not None and collected and hosts
