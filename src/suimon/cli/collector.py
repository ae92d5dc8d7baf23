"""`suimon collector`: this machine as a collector of flow records."""

import asyncio
import secrets
import signal
import sys
import time
from pathlib import Path
from typing import Any, Final

import click
import msgspec
import structlog
import uvloop

from suimon.cli.listener import Endpoint, Listener, ListenError, bound, endpoint
from suimon.cli.logs import log_to_stderr
from suimon.cli.structs import make_ready
from suimon.cli.watching import Watching
from suimon.detection.records import Records
from suimon.detection.threshold_file import OF_COLLECTORS, ThresholdsError, read_as
from suimon.detection.thresholds import Thresholds
from suimon.model.collectors import CollectorJoin
from suimon.model.compiled import MISSING
from suimon.telemetry.answers import answers_app
from suimon.telemetry.collecting import Collecting
from suimon.telemetry.collecting import Config as CollectingConfig
from suimon.telemetry.flow.collector import Collector
from suimon.telemetry.flow.exporters import Allowed, Exporters
from suimon.telemetry.flow.receiver import Config as ReceiverConfig
from suimon.telemetry.flow.receiver import Receiver
from suimon.telemetry.flow.template_file import TemplateFile
from suimon.telemetry.history.clickhouse import ClickHouse
from suimon.telemetry.history.clickhouse import Config as ClickHouseConfig
from suimon.telemetry.history.clickhouse_http import Server, address
from suimon.telemetry.history.engine import History
from suimon.telemetry.history.segments import Config as SegmentsConfig
from suimon.telemetry.history.segments import Segments
from suimon.telemetry.memory import keep_freed
from suimon.telemetry.port_map import Controller, Identity

log = structlog.get_logger()

_PATH: Final = click.Path(path_type=Path)
_DEFAULT_STATE: Final = Path("/var/lib/suimon/collector")
_state = click.option(
    "--state", default=_DEFAULT_STATE, show_default=True, type=_PATH, help="Directory of the credential and records."
)


@click.group(invoke_without_command=True)
@_state
@click.option("--listen", default="127.0.0.1:9698", show_default=True, help="HOST:PORT where controllers ask.")
@click.option("--tls-cert", default="", help="Certificate chain (PEM) for them.")
@click.option("--tls-key", default="", help="Its private key.")
@click.option(
    "--flows",
    multiple=True,
    default=("[::]:2055", "[::]:4739", "[::]:6343"),
    show_default=True,
    metavar="IP:PORT",
    help="Where exporters send to, of whatever protocol; repeatable.",
)
@click.option(
    "--allow",
    multiple=True,
    metavar="PREFIX[=N]",
    help="Who may export besides the cloud's hosts, and that it samples 1 of N packets if it doesn't say; repeatable.",
)
@click.option("--keep-days", type=click.FloatRange(min=0.05), default=30.0, show_default=True)
@click.option("--keep-gib", type=click.FloatRange(min=0.001), default=50.0, show_default=True)
@click.option("--clickhouse", metavar="URL", help="Keep records there, as in https://192.0.2.7:8443/DATABASE.")
@click.option("--clickhouse-user", default="default", show_default=True)
@click.option("--clickhouse-password-file", type=_PATH, help="File with that user's password.")
@click.option("--clickhouse-ca-file", help="Certificates to trust instead of the system's, for an https URL.")
@click.option("--thresholds", type=_PATH, help="YAML of what detectors take for an attack; else the defaults.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning"]), default="info", show_default=True)
@click.pass_context
def collector(context: click.Context, /, state: Path, log_level: str, **said: Any) -> None:
    """Run the collector of flow records: NetFlow v5 and v9, IPFIX and sFlow v5 of hypervisors and physical switches.

    The hosts send there with `suimon agent --export-to`; ask with `suimon flows search` and `suimon flows top`.
    """
    context.obj = state
    if context.invoked_subcommand is None:
        log_to_stderr(log_level)
        make_ready()
        try:
            where = endpoint(said["listen"], "--listen", said["tls_cert"], said["tls_key"])
            uvloop.run(_run(_identity(state), state, where, said))
        except (OSError, ValueError, ListenError) as error:
            raise click.ClickException(str(error)) from error


@collector.command()
@click.argument("url")
@click.option("--name", required=True, help="The collector's name, for which the token was made.")
@click.option("--ask-url", required=True, help="Where controllers reach this collector, as in http://192.0.2.9:9698.")
@click.option("--token-file", type=_PATH, help="File with the one-time token; without it the token is read from stdin.")
@click.option("--ca-file", help="Certificates to trust instead of the system's, for an https URL.")
@click.pass_obj
def join(state: Path, /, url: str, token_file: Path | None, ca_file: str | None, **said: str) -> None:
    """Make this machine a collector of the cloud whose controller listens for hosts at URL.

    The token is made by `suimon host token --collector NAME`.
    """
    key, name, ask_url = secrets.token_urlsafe(32), said["name"], said["ask_url"]
    try:
        token = (token_file.read_text() if token_file else sys.stdin.readline()).strip()
        joined = asyncio.run(Controller(url, ca_file).join(CollectorJoin(token, name, ask_url, key)))
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = state / "identity.new"
        file.touch(mode=0o600)
        file.write_bytes(msgspec.json.encode(Identity(name, url, joined.credential, key, ca_file)))
        file.rename(state / "identity.json")
    except (OSError, TimeoutError) as error:
        raise click.ClickException(f"can't join: {error}") from error
    click.echo(f"joined as {joined.name}; start it with: suimon collector --state {state}")


async def _run(identity: Identity, state: Path, where: Endpoint, said: dict[str, Any]) -> None:
    """Until SIGTERM or SIGINT."""
    if MISSING:
        log.warning("compiled_code_missing", libraries=sorted(MISSING), effect="it takes several times the CPU")
    keep_freed()
    listen = tuple(_address(each) for each in said["flows"])
    allowed = tuple(map(_allowed, said["allow"]))
    history = _history(identity, state, said)
    decoder = Collector(Exporters(allowed))
    controller = Controller(identity.url, identity.ca_file, identity.credential)
    collecting = Collecting(CollectingConfig(allowed), decoder, history, controller)
    collecting.detection = Watching(Records(_thresholds(said["thresholds"]), secrets.randbits(63)))
    receiver = Receiver(ReceiverConfig(listen), collecting.take, time.time)
    templates = TemplateFile(state / "templates", decoder)
    templates.restore()
    receiver.open()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with bound(where) as socket:
        listener = Listener(answers_app(collecting, receiver, identity.key), where, socket)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(collecting.run(receiver))
            keeping = tasks.create_task(templates.run())
            tasks.create_task(listener.run_bound())
            await listener.ready.wait()
            click.echo(f"suimon collector is ready: asked at {where.url}, flows at {receiver.addresses}")
            await stop.wait()
            running.cancel()
            keeping.cancel()
            listener.should_exit = True
    templates.save()


def _identity(state: Path) -> Identity:
    """Raises ValueError."""
    try:
        return msgspec.json.decode((state / "identity.json").read_bytes(), type=Identity)
    except FileNotFoundError:
        raise ValueError(
            f"this machine has not joined a cloud (nothing in {state}): use suimon collector join"
        ) from None


def _thresholds(path: Path | None) -> Thresholds:
    """Raises OSError, ValueError."""
    if path is None:
        return Thresholds()
    try:
        found, named = read_as(Thresholds, path.read_text())
    except ThresholdsError as error:
        raise ValueError(f"--thresholds {path}: {error}") from None
    if left := sorted(named.difference(OF_COLLECTORS)):
        log.warning("thresholds_left", detectors=left, reason="controllers have them: suimon serve --thresholds")
    return found


def _history(identity: Identity, state: Path, said: dict[str, Any]) -> History:
    """Raises OSError, ValueError."""
    most_age_s, most_bytes = said["keep_days"] * 86400, int(said["keep_gib"] * (1 << 30))
    if not said["clickhouse"]:
        return Segments(SegmentsConfig(state / "records", most_age_s, most_bytes), time.time)
    at = address(said["clickhouse"], said["clickhouse_user"], said["clickhouse_ca_file"])
    file = said["clickhouse_password_file"]
    server = Server(at, file.read_text().strip() if file else "")
    return ClickHouse(ClickHouseConfig(identity.name, most_age_s, most_bytes), server, time.time)


def _address(text: str) -> tuple[str, int]:
    """Raises ValueError."""
    host, _, l4_port = text.rpartition(":")
    if not host or not l4_port.isdecimal() or int(l4_port) > 65535:
        raise ValueError(f"--flows {text}: say IP:PORT, as in 192.0.2.9:6343 or [::]:6343")
    return host.removeprefix("[").removesuffix("]"), int(l4_port)


def _allowed(text: str) -> Allowed:
    """Raises ValueError."""
    prefix, _, sampling = text.partition("=")
    if sampling and not sampling.isdecimal():
        raise ValueError(f"--allow {text}: say PREFIX or PREFIX=N, as in 192.0.2.0/24=1000")
    return Allowed(prefix, int(sampling or 0))
