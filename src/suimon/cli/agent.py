"""`suimon join`, `suimon agent`, `suimon flows`, `suimon why`: this machine as a hypervisor of a cloud."""

import asyncio
import gc
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Literal

import click
import msgspec
import uvloop

from suimon.agent import (
    advertise,
    checks,
    claims,
    control,
    controller,
    daemon,
    follower,
    inquiries,
    looks,
    meter,
    neighbours,
    reporter,
    session,
)
from suimon.agent.answers import Answers
from suimon.agent.answers import Config as AnswersConfig
from suimon.agent.checks import removed
from suimon.agent.commands import asked, commands
from suimon.agent.enforcer import Enforcer
from suimon.agent.held_view import Guard
from suimon.agent.memory import Memory
from suimon.agent.offline import offline_world
from suimon.agent.outside import Outside
from suimon.agent.questions import QuestionError, flows_text
from suimon.agent.questions import why as explained
from suimon.agent.saved import HostIdentity, StateDirectory, StateError
from suimon.agent.services import resolver, services
from suimon.agent.services.nova import NovaConfigError, read_config
from suimon.agent.services.services import Services
from suimon.agent.untold import Untold
from suimon.cli.logs import log_to_stderr
from suimon.cli.structs import make_ready
from suimon.cli.why import ask_cloud
from suimon.dataplane.devices import Devices
from suimon.dataplane.exports import Export
from suimon.dataplane.exports import Protocol as ExportProtocol
from suimon.dataplane.layout import Layout, Provider
from suimon.dataplane.namespaces import remove_left
from suimon.dataplane.nat import Config as NatConfig
from suimon.dataplane.services import NAMESPACE
from suimon.dataplane.switch import Config as SwitchConfig
from suimon.dataplane.zones import Config as ZonesConfig
from suimon.model.owner import Owner
from suimon.model.view import Join
from suimon.pipeline.world import World
from suimon.reconcile import Failure

_PATH: Final = click.Path(path_type=Path)
_DEFAULT_STATE: Final = Path("/var/lib/suimon/agent")
_state = click.option(
    "--state", default=_DEFAULT_STATE, show_default=True, type=_PATH, help="Directory of the credential and last view."
)
_rundir = click.option(
    "--ovs-rundir",
    default=Path("/var/run/openvswitch"),
    show_default=True,
    type=_PATH,
    help="Where Open vSwitch has its sockets.",
)


class Options(msgspec.Struct, frozen=True):
    """What the command line of `suimon agent` says."""

    state: Path
    ovs_rundir: Path
    uplinks: dict[str, str]
    datapath: Literal["auto", "system", "netdev"] = "auto"
    check_every_s: float = checks.Config().every_s
    remove_orphans: bool = False
    netns_prefix: str = "suimon-"
    most_connections: int = ZonesConfig().most_connections
    metadata_nova: str = ""
    metadata_secret_file: Path = Path()
    dns_resolvers: tuple[str, ...] = ()
    export_to: str = ""
    export_sampling: int = Export("").sampling
    export_every_s: int = Export("").every_s
    export_protocol: ExportProtocol = "sflow"


@click.command()
@click.argument("url")
@click.option("--token-file", type=_PATH, help="File with the one-time token; without it the token is read from stdin.")
@click.option("--host", required=True, help="This hypervisor's name, as in binding:host_id.")
@click.option("--tunnel-ip", help="This host's address for tunnels; none: no vxlan networks here.")
@click.option("--physnet", "physnets", multiple=True, help="A physical network this host is attached to; repeatable.")
@click.option("--ca-file", help="Certificates to trust instead of the system's, for an https URL.")
@_state
def join(state: Path, token_file: Path | None, ca_file: str | None, **said: Any) -> None:
    """Make this machine a hypervisor of the cloud whose controller listens for hosts at URL."""
    wanted = Join(_token(token_file), said["host"], said["tunnel_ip"], said["physnets"])
    directory = StateDirectory(state)
    try:
        controller.load_ca(ca_file)
        with directory.locked():
            joined = asyncio.run(_join(controller.Config(said["url"], ca_file), wanted))
            told = (joined.host, said["url"], joined.credential, joined.store)
            identity = HostIdentity(*told, wanted.tunnel_ip, wanted.physnets, ca_file)
            directory.host.save(identity, durable=True)
    except (controller.ControllerError, StateError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"joined as {joined.host}; start the agent with: suimon agent --state {state}")


@click.group(invoke_without_command=True)
@_state
@_rundir
@click.option(
    "--uplink", "uplinks", multiple=True, metavar="PHYSNET=DEVICE", help="Where it leaves this host; repeatable."
)
@click.option("--datapath", type=click.Choice(["auto", "system", "netdev"]), default="auto", show_default=True)
@click.option(
    "--check-every",
    "check_every_s",
    type=click.FloatRange(min=0.1),
    default=checks.Config().every_s,
    show_default=True,
    help="Seconds between checks of all that is in the switch.",
)
@click.option("--metadata-nova", default="", metavar="URL", help="Nova's metadata API; else instance data is ours.")
@click.option(
    "--metadata-secret-file",
    default=Path("/etc/suimon/metadata-secret"),
    show_default=True,
    type=_PATH,
    help="File with Nova's metadata_proxy_shared_secret.",
)
@click.option(
    "--dns-resolver",
    "dns_resolvers",
    multiple=True,
    metavar="IP",
    help="Who is asked for names that aren't the guests' own; repeatable. By default this host's resolvers.",
)
@click.option(
    "--most-connections",
    type=click.IntRange(1, 0xFFFFFFFF),
    default=ZonesConfig().most_connections,
    show_default=True,
    help="How many connections of each guest are remembered.",
)
@click.option(
    "--export-to",
    default="",
    metavar="IP:PORT",
    help="The collector that is told of what passes br-int; by default nothing is exported.",
)
@click.option(
    "--export-protocol",
    type=click.Choice(["sflow", "ipfix", "netflow"]),
    default="sflow",
    show_default=True,
    help="How: sFlow tells most. NetFlow is v5, of IPv4 only, and of every packet.",
)
@click.option(
    "--export-sampling",
    type=click.IntRange(1, 1 << 24),
    default=Export("").sampling,
    show_default=True,
    help="One of so many packets is a sample, with sFlow and IPFIX.",
)
@click.option(
    "--export-every",
    "export_every_s",
    type=click.IntRange(1, 3600),
    default=Export("").every_s,
    show_default=True,
    help="Seconds between what sFlow has of interface counters, and the others of a flow that goes on.",
)
@click.option("--netns-prefix", default="suimon-", help="How the names of our network namespaces begin.")
@click.option("--remove-orphans", is_flag=True, help="Remove what bears our mark and is nobody's; else `clean` does.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning"]), default="info", show_default=True)
@click.pass_context
def agent(context: click.Context, /, state: Path, log_level: str, uplinks: tuple[str, ...], **said: Any) -> None:
    """Run the agent of this hypervisor; or ask the one that runs (`status`), or let a held view through (`accept`)."""
    context.obj = state
    if context.invoked_subcommand is None:
        log_to_stderr(log_level)
        make_ready()
        _run(Options(state, uplinks=dict(map(_uplink, uplinks)), **said))


@agent.command()
@click.option("--state", type=_PATH, help="The agent's state directory, if not the usual one.")
@click.pass_obj
def accept(usual: Path, state: Path | None) -> None:
    """Let the view through that the agent holds back because it would delete too much or is another store's."""
    _print(_ask(state or usual, "accept"))


@agent.command()
@click.option("--state", type=_PATH, help="The agent's state directory, if not the usual one.")
@click.option(
    "--namespaces",
    metavar="PREFIX",
    help="Remove the network namespaces whose names begin so: of a host that leaves, with its agent stopped.",
)
@click.pass_obj
def clean(usual: Path, state: Path | None, namespaces: str | None) -> None:
    """Remove the orphans on this host's switch: bridges, ports and limits with our mark that are nobody's any more."""
    if namespaces is None:
        _print(_ask(state or usual, "clean"))
        return
    directory, by = StateDirectory(state or usual), f"{control.person()}: suimon agent clean --namespaces"
    try:
        with directory.locked():
            untold = Untold(directory.untold)
            for name in remove_left(namespaces):
                click.echo(f"removed: namespace {name}")
                untold.add([removed("", f"namespace {name}", by)])
    except (StateError, OSError) as error:
        raise click.ClickException(str(error)) from error


@agent.command()
@click.option("--state", type=_PATH, help="The agent's state directory, if not the usual one.")
@click.pass_obj
def status(usual: Path, state: Path | None) -> None:
    """Which view is in force on this host, what is held and what the switch refused."""
    _print(_ask(state or usual, "status"))


@click.command()
@click.argument("port", default="")
@_state
@_rundir
def flows(port: str, state: Path, ovs_rundir: Path) -> None:
    """Show this host's flows with stage names and owners, or those of PORT (id or its beginning, name or address)."""
    try:
        lines = _ask(state, "flows", port=port)
    except OSError:
        world = _offline(state, ovs_rundir)
        lines = _answered(lambda: flows_text(world, "" if port == world.host else port))
    _print(lines)


@click.command()
@click.argument("port")
@click.argument("target", default="")
@click.option("--to", default="", metavar="IP", help="Where the port's packet goes.")
@click.option("--from", "source", default="", metavar="IP", help="Where a packet for the port comes from.")
@click.option("--protocol", "--proto", type=click.Choice(["icmp", "tcp", "udp"]), default="icmp", show_default=True)
@click.option("--port", "l4_port", type=click.IntRange(1, 65535), help="Destination port, for tcp and udp.")
@click.option("--as-mac", default="", metavar="MAC", help="Source MAC that the guest claims; its own by default.")
@click.option("--as-ip", default="", metavar="IP", help="Source address that the guest claims; its own by default.")
@click.option("--trace", is_flag=True, help="With TARGET: ask the switches on the way as well.")
@click.option("--probe", is_flag=True, help="With TARGET, a port: send a real packet as well, and catch it there.")
@click.option("--size", type=click.IntRange(28, 65535), help="With TARGET: how large the IP packet is, in bytes.")
@click.option("--state", type=_PATH, help="The agent's state directory; with TARGET, the controller's.")
@_rundir
def why(port: str, target: str, state: Path | None, ovs_rundir: Path, **said: Any) -> None:
    """Say whether PORT reaches TARGET in the cloud, and which resource decides about it. Both are ports, by id or name,
    or one of them is an address; the controller is asked, as with `suimon host`.

    Without TARGET, and with --to or --from: follow a packet of PORT through this host's flows, and name the stage and
    the owner that decide about it.
    """
    if target:
        lines, agreed = ask_cloud(state, _question(port, target, said))
        _print(lines)
        if not agreed:
            click.get_current_context().exit(1)
        return
    if any([said.pop("trace"), said.pop("probe"), said.pop("size")]):
        raise click.UsageError("--trace, --probe and --size need a TARGET: the controller is asked.")
    arguments = {name: str(value) for name, value in said.items() if value}
    try:
        lines = _ask(state or _DEFAULT_STATE, "why", port=port, **arguments)
    except OSError:
        world = _offline(state or _DEFAULT_STATE, ovs_rundir)
        lines = _answered(lambda: explained(world, asked({"port": port, **arguments})))
    _print(lines)


def _question(port: str, target: str, said: dict[str, Any]) -> dict[str, object]:
    """The body of /operations/v1/reachability."""
    if said["to"] or said["source"]:
        raise click.UsageError("--to and --from ask this host about PORT alone: leave TARGET out.")
    question = {name: value for name, value in said.items() if value and name not in ("to", "source", "l4_port")}
    return {"from": port, "to": target, "port": said["l4_port"] or 0, **question}


def _token(file: Path | None) -> str:
    try:
        text = file.read_text() if file else sys.stdin.readline()
    except OSError as error:
        raise click.ClickException(f"can't read the token file {file}: {error.strerror}") from error
    if not text.strip():
        raise click.ClickException("the token is empty; make one with: suimon host token --host NAME")
    return text.strip()


async def _join(config: controller.Config, wanted: Join) -> Any:
    api = controller.Controller(config)
    await api.open()
    try:
        return await api.join(wanted)
    finally:
        await api.close()


def _uplink(text: str) -> tuple[str, str]:
    physnet, _, device = text.partition("=")
    if not physnet or not device:
        raise click.ClickException(f"--uplink {text}: say PHYSNET=DEVICE, as in physnet1=eth1")
    return physnet, device


def _run(options: Options) -> None:
    if os.geteuid() != 0:
        raise click.ClickException("the agent must run as root: it makes bridges and speaks to Open vSwitch's sockets")
    state = StateDirectory(options.state)
    try:
        with state.locked():
            identity = _identity(state)
            if strangers := options.uplinks.keys() - set(identity.physnets):
                words = f"this host joined without {', '.join(sorted(strangers))}: join again with --physnet"
                raise click.ClickException(words)
            controller.load_ca(identity.ca_file)
            # A view has no cycles: looking for them at CPython's own pace makes a large one a quarter dearer.
            gc.set_threshold(50_000, 20, 100)
            uvloop.run(_until_told(assemble(options, identity, state)))
    except (StateError, controller.ControllerError) as error:
        raise click.ClickException(str(error)) from error


def assemble(options: Options, identity: HostIdentity, state: StateDirectory) -> daemon.Agent:
    """The agent's parts, wired."""
    api = controller.Controller(controller.Config(identity.url, identity.ca_file), identity.credential)
    memory = Memory(state)
    world = World(identity.host, memory.load_numbers())
    guard = Guard(memory.load_view())
    tells = reporter.Reporter(reporter.Config(), api, untold=Untold(state.untold))
    outside = Outside(neighbours.Config(), memory, world, time.monotonic)
    enforcer = Enforcer(memory, guard, world, outside, tells)
    how = checks.Config(options.check_every_s, remove_orphans=options.remove_orphans)
    checked = checks.Checks(how, tells, random.random)
    advertiser = advertise.Advertiser(advertise.Config(), world, time.monotonic, random.random)
    claimed = claims.Claims(claims.Config(), world, tells)
    answers = Answers(AnswersConfig(), enforcer, advertiser, claimed)
    devices = Devices()
    metered = meter.Meter(meter.Config(), world, tells, devices, time.time)
    looked = looks.Looks(looks.Config(options.ovs_rundir), world, metered)
    asks = inquiries.Inquiries(inquiries.Config(options.ovs_rundir), world, api, answers.probes, looked)
    serves = _services(options, world, enforcer)
    parts = session.Parts(enforcer, answers, outside, tells, checked, advertiser, metered, devices, serves, asks)
    news: asyncio.Queue[follower.News] = asyncio.Queue(follower.QUEUE_FRAMES)
    follows = follower.Follower(follower.Config(), api, lambda: enforcer.position, news, asks.ask)
    listens = control.Control(control.Config(), state.control_socket, commands(enforcer, checked, identity.host))
    providers = tuple(Provider(physnet, options.uplinks.get(physnet)) for physnet in identity.physnets)
    layout = Layout(providers=providers, tunnel_ip=identity.tunnel_ip, services=True, export=_export(options, identity))
    switch, nat = SwitchConfig(options.ovs_rundir, datapath=options.datapath), NatConfig(options.netns_prefix)
    zones = ZonesConfig(options.ovs_rundir, options.most_connections)
    to_switch = session.Config(switch, layout=layout, nat=nat, zones=zones)
    return daemon.Agent(daemon.Config(to_switch), api, parts, follows, listens)


def _export(options: Options, identity: HostIdentity) -> Export | None:
    """Raises ClickException for a collector that is no address."""
    if not options.export_to:
        return None
    address, _, l4_port = options.export_to.rpartition(":")
    try:
        brackets = ip_address(address.removeprefix("[").removesuffix("]")).version == 6
        valid = address.startswith("[") == brackets and 0 < int(l4_port) < 65536
    except ValueError:
        valid = False
    if not valid:
        raise click.ClickException(f"--export-to {options.export_to}: say IP:PORT, as in 192.0.2.9:6343 or [::1]:6343")
    host = address.removeprefix("[").removesuffix("]")
    agent = _leaving_address(host, int(l4_port)) or identity.tunnel_ip or ""
    how = options.export_protocol, options.export_sampling, options.export_every_s
    return Export(options.export_to, agent, *how)


def _leaving_address(host: str, l4_port: int) -> str:
    """That from which this machine would send there, which is not its tunnels' when management is apart; nothing
    without a route. Connecting a UDP socket sends nothing (udp(7)).
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect((host, l4_port))
        except OSError:
            return ""
        return str(asking.getsockname()[0])


def _services(options: Options, world: World, enforcer: Enforcer) -> Services:
    """Raises ClickException for a secret that can't be had."""
    try:
        nova = read_config(options.metadata_nova, options.metadata_secret_file) if options.metadata_nova else None
    except NovaConfigError as error:
        raise click.ClickException(str(error)) from error
    asks = resolver.Config(options.dns_resolvers or resolver.host_resolvers())
    config = services.Config(options.netns_prefix + NAMESPACE, options.ovs_rundir, resolver=asks, nova=nova)

    def told(reason: str) -> None:
        unmade = {Owner("namespace", NAMESPACE): Failure(reason)} if reason else {}
        enforcer.note_unmade("services", unmade)

    return Services(config, world, lambda: enforcer.position, told)


async def _until_told(running: daemon.Agent) -> None:
    """Until SIGTERM or SIGINT: nothing is taken down then, what is in the switch goes on."""
    task = asyncio.ensure_future(running.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    await asyncio.wait((task,))
    if not task.cancelled():
        task.result()


def _identity(state: StateDirectory) -> HostIdentity:
    identity = state.host.load()
    if identity is None:
        raise click.ClickException(f"this machine has not joined a cloud (nothing in {state.path}): use suimon join")
    return identity


def _ask(state: Path, command: str, **arguments: str) -> list[str]:
    """Raises OSError when no agent listens, for those who know another way."""
    path = StateDirectory(state).control_socket
    try:
        return asyncio.run(control.ask(path, control.Request(command, arguments)))
    except control.CommandError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        if command in ("accept", "clean", "status"):
            raise click.ClickException(f"no agent answers at {path}: is it running? ({error})") from error
        raise


def _offline(state: Path, rundir: Path) -> World:
    directory = StateDirectory(state)
    identity = _identity(directory)
    click.echo(f"# no agent runs with {state}: this is what its last view makes of the switch as it is now", err=True)
    try:
        return asyncio.run(offline_world(directory, identity.host, SwitchConfig(rundir)))
    except OSError as error:
        raise click.ClickException(f"Open vSwitch does not answer in {rundir}: {error}") from error


def _answered(question: Callable[[], list[str]]) -> list[str]:
    try:
        return question()
    except QuestionError as error:
        raise click.ClickException(str(error)) from error


def _print(lines: list[str]) -> None:
    for line in lines:
        click.echo(line)
