"""`suimon serve`: the controller. A listener for clients, another for hosts, and a database between them."""

import asyncio
import gc
import os
import signal
import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import click
import msgspec
import structlog
import uvloop

from suimon.api.application import ClientsApp
from suimon.api.application import Config as ApiConfig
from suimon.api.gate import Gate
from suimon.api.identity import passwords
from suimon.api.identity.first_admin import AccountFiles, ensure_admin
from suimon.api.metrics import Metrics
from suimon.api.network.documents import Versions
from suimon.api.network.openapi_document import OpenApi
from suimon.api.network.service import NetworkService
from suimon.api.nova.client import Nova
from suimon.api.nova.config import Config as NovaConfig
from suimon.api.nova.config import NovaConfigError, read_config
from suimon.api.nova.notifier import Notifier, NotifierConfig
from suimon.api.operations.health import Health
from suimon.api.operations.service import OperationsService
from suimon.api.policy.service import PolicyService
from suimon.api.wire import Service
from suimon.cli.automation import AutomationConfig, automation, automation_config, automation_options
from suimon.cli.database import database_options, database_url, metering_url
from suimon.cli.facts import facts_options, gatherers
from suimon.cli.identity import (
    IdentityConfig,
    IdentityError,
    apply_policy,
    gate_and_service,
    identity_config,
    identity_options,
)
from suimon.cli.listener import Endpoint, Listener, ListenError, bound, endpoint
from suimon.cli.logs import log_to_stderr
from suimon.cli.network import SettingsError, network_options, network_settings
from suimon.cli.restriction_settings import restriction_options, restriction_settings
from suimon.cli.structs import make_ready
from suimon.cli.workers import inherited, stop_with_parent, supervise
from suimon.distribution.application import hosts_app
from suimon.distribution.clock import Clock
from suimon.distribution.collectors import Collectors
from suimon.distribution.config import DistributionConfig
from suimon.distribution.distribution import Distribution
from suimon.enforcement.enforcement import Enforcement, EnforcementConfig
from suimon.enforcement.flows import Talks
from suimon.enforcement.history import FactHistory, FactHistoryConfig
from suimon.model.errors import Unavailable
from suimon.model.settings import Settings
from suimon.resources import collectors as collector_acts
from suimon.resources import hosts as host_acts
from suimon.resources import identity
from suimon.resources.persona import hidden_from_projects
from suimon.resources.registry import RESOURCES
from suimon.response.clock import OwnClock
from suimon.response.executor import Executor, ExecutorConfig
from suimon.response.expiry import Expiry, ExpiryConfig
from suimon.store.errors import StoreError
from suimon.store.leases import Lease, LeaseConfig
from suimon.store.store import Store, StoreConfig
from suimon.telemetry.meter.database import Database as MeterDatabase
from suimon.telemetry.meter.history import Config as HistoryConfig
from suimon.telemetry.meter.history import History
from suimon.telemetry.meter.meters import Config as MetersConfig
from suimon.telemetry.meter.meters import Meters

log = structlog.get_logger()


class ServeError(Exception):
    """The controller can't start. The message is one sentence for the operator that says what to do."""


class Config(msgspec.Struct, frozen=True):
    """What the command line says."""

    state: Path
    clients: Endpoint
    hosts: Endpoint
    settings: Settings = Settings()
    public_url: str = ""
    database: str = ""
    """Its URL."""
    workers: int = 1
    identity: IdentityConfig = IdentityConfig()
    nova: NovaConfig | None = None
    automation: AutomationConfig = AutomationConfig()
    hosts_noted_every_s: float = DistributionConfig().note_hosts_every_s
    facts_directory: str = ""
    metrics_token: str = ""
    """What Prometheus shows to read /metrics."""
    collectors_tls: ssl.SSLContext | None = None
    """Whom to trust when collectors are asked over https; None: whom the system trusts."""
    worker: str = ""
    """In one of several processes: the sockets that it was given."""


@click.command()
@click.option("--state", type=click.Path(path_type=Path), required=True, help="Directory of the database and accounts.")
@click.option("--listen", default="127.0.0.1:9696", show_default=True, help="HOST:PORT for clients.")
@click.option("--hosts-listen", default="127.0.0.1:9697", show_default=True, help="HOST:PORT for hypervisors.")
@click.option("--public-url", default="", help="How clients reach us, if not by the address they connect to.")
@click.option("--tls-cert", default="", help="Certificate chain (PEM) for clients.")
@click.option("--tls-key", default="", help="Its private key.")
@click.option("--hosts-tls-cert", default="", help="Certificate chain (PEM) for hypervisors.")
@click.option("--hosts-tls-key", default="", help="Its private key.")
@network_options
@database_options
@identity_options
@restriction_options
@automation_options
@facts_options
@click.option(
    "--metrics-token-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Who shows what is in it as a bearer token may read /metrics.",
)
@click.option("--collectors-ca", default="", help="Certificates to trust instead of the system's, of https collectors.")
@click.option(
    "--hosts-noted-every",
    "hosts_noted_every_s",
    type=click.FloatRange(min=1.0, max=600.0),
    default=DistributionConfig().note_hosts_every_s,
    show_default=True,
    help="Seconds after which several controllers tell each other how hosts are.",
)
@click.option("--nova-config", default="", help="INI file with a section [nova]: whom to tell that ports are plugged.")
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes; with PostgreSQL only."
)
@click.option("--worker", default="", hidden=True)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning"]), default="info", show_default=True)
def serve(state: Path, log_level: str, workers: int, **options: Any) -> None:
    """Run the controller: Neutron, Keystone and our own API for clients, and the listener for hypervisors.

    The first start makes the account `admin` and writes it to clouds.yaml and openrc in the state directory.
    """
    log_to_stderr(log_level)
    make_ready()
    try:
        config = Config(
            state=state.absolute(),
            clients=endpoint(options["listen"], "--listen", options["tls_cert"], options["tls_key"]),
            hosts=endpoint(
                options["hosts_listen"], "--hosts-listen", options["hosts_tls_cert"], options["hosts_tls_key"]
            ),
            settings=restriction_settings(network_settings(options), options),
            public_url=options["public_url"],
            database=database_url(state, options["database"], options["database_file"]),
            workers=workers,
            worker=options["worker"],
            collectors_tls=_trusting(options["collectors_ca"]),
            metrics_token=_token(options["metrics_token_file"]),
            nova=read_config(Path(options["nova_config"])) if options["nova_config"] else None,
            identity=identity_config(options),
            automation=automation_config(options),
            hosts_noted_every_s=options["hosts_noted_every_s"],
            facts_directory=str(options["facts_directory"].absolute()) if options["facts_directory"] else "",
        )
        apply_policy(config.identity)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(config))
    except (ServeError, SettingsError, ListenError, StoreError, IdentityError, NovaConfigError) as error:
        raise click.ClickException(str(error)) from None


def _trusting(ca_file: str) -> ssl.SSLContext | None:
    """Raises ServeError."""
    try:
        return ssl.create_default_context(cafile=ca_file) if ca_file else None
    except OSError as error:
        raise ServeError(f"The certificates in --collectors-ca {ca_file} can't be used ({error}).") from error


def _token(path: Path | None) -> str:
    return path.read_text().strip() if path else ""


async def run(config: Config) -> None:
    """Serves until SIGTERM or SIGINT. Raises ServeError, ListenError and StoreError, having made nothing that stays."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with ExitStack() as opened:
        if config.worker:
            stop_with_parent(stop)
            await _work(config, [opened.enter_context(each) for each in inherited(config.worker)], stop)
            return
        sockets = [opened.enter_context(bound(where)) for where in (config.clients, config.hosts)]
        _make_directory(config.state)
        _warn_of_listeners(config)
        if config.workers == 1:
            await _work(config, sockets, stop)
            return
        if config.database.startswith("sqlite"):
            raise ServeError("A SQLite file has one process that writes it: --workers needs PostgreSQL (--database).")
        await supervise(config.workers, sockets, lambda: _say_ready(config), stop)


async def _work(config: Config, sockets: Sequence[socket.socket], stop: asyncio.Event) -> None:
    """One process's part: all there is to a controller."""
    with ExitStack() as opened:
        clock = Clock()
        store = Store(StoreConfig(url=config.database, settings=config.settings), clock.now)
        store.open()
        opened.callback(store.close)
        hasher = passwords.Passwords(config.identity.passwords)
        opened.callback(hasher.close)
        await _first_start(config, store, hasher)
        hosts_config = DistributionConfig(note_hosts_every_s=config.hosts_noted_every_s)
        distribution = Distribution(hosts_config, store, host_acts)
        history = History(HistoryConfig(), MeterDatabase(metering_url(config.database)))
        distribution.metering = meters = Meters(MetersConfig(), history, clock.now_s, clock.doubted)
        distribution.hear_clock = clock.hear
        gate, accounts, leave = gate_and_service(config.identity, store, hasher)
        ours = Lease(LeaseConfig(), store, "enforcement")
        enforcement = Enforcement(EnforcementConfig(), store, hidden_from_projects(), ours)
        talks = Talks(store, config.collectors_tls)
        acting = automation(config.automation, store, meters, distribution)
        more: dict[str, Service] = {
            "identity": accounts,
            "policy": PolicyService(gate, enforcement.world, talks),
            "metrics": Metrics(gate, meters, config.metrics_token, acting.detectors),
        }
        clients = Listener(_clients_app(config, gate, distribution, meters, more), config.clients, sockets[0])
        hosts = Listener(hosts_app(distribution, Collectors(store, collector_acts)), config.hosts, sockets[1])
        async with asyncio.TaskGroup() as tasks:
            following = [
                tasks.create_task(each.run()) for each in (distribution, meters, enforcement, OwnClock(store, clock))
            ]
            tidying = Lease(LeaseConfig(), store, "metering")
            following.append(tasks.create_task(tidying.run(meters.tidy)))
            kept = FactHistory(FactHistoryConfig(), store, Lease(LeaseConfig(), store, "fact-history"))
            following.append(tasks.create_task(kept.run()))
            expiry = Expiry(ExpiryConfig(), store, Lease(LeaseConfig(), store, "expiry"))
            following.append(tasks.create_task(expiry.run()))
            if config.automation.acts:
                enforcement.after_round = Executor(ExecutorConfig(), store, enforcement.world).round
            reading = gatherers(store, meters, talks, config.facts_directory, config.nova)
            following += [tasks.create_task(each.run()) for each in (*acting.components, *reading)]
            if config.nova:
                turn = Lease(LeaseConfig(), store, "nova")
                notifier = Notifier(NotifierConfig(), store, Nova(config.nova), turn)
                following.append(tasks.create_task(notifier.run()))
            for listener in (clients, hosts):
                tasks.create_task(listener.run_bound())
                await listener.ready.wait()
            # What there is by now stays, and requests leave next to no cycles: looking for them at CPython's own pace
            # takes as long as making a long list does.
            gc.collect()
            gc.freeze()
            gc.set_threshold(50_000, 20, 100)
            _say_ready(config)
            await stop.wait()
            for task in following:
                task.cancel()
            clients.should_exit = hosts.should_exit = True
        await leave()


def _say_ready(config: Config) -> None:
    click.echo(f"suimon is ready: clients at {config.clients.url}, hosts at {config.hosts.url}")


def _clients_app(
    config: Config, gate: Gate, distribution: Distribution, meters: Meters, more: Mapping[str, Service]
) -> ClientsApp:
    return ClientsApp(
        ApiConfig(
            public_url=config.public_url,
            keystone_url=config.identity.keystone_url,
            trusted_proxies=config.identity.trusted_proxies,
        ),
        {
            "": Versions(),
            "openapi.json": OpenApi(RESOURCES),
            "v2.0": NetworkService(gate, RESOURCES),
            "operations": OperationsService(gate, distribution, distribution.questions, meters, config.collectors_tls),
            "healthz": Health(gate.store, lambda: meters.trouble),
            **more,
        },
    )


def _warn_of_listeners(config: Config) -> None:
    for where in (config.clients, config.hosts):
        if not where.certificate and not _is_loopback(where.host):
            log.warning(
                "listener_without_tls",
                listen=f"{where.host}:{where.port}",
                meaning=f"Passwords and credentials can be read on the way. Give {where.option} a certificate, or put "
                "it on a network of its own.",
            )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _first_start(config: Config, store: Store, hasher: passwords.Passwords) -> None:
    if config.identity.keystone is not None:
        return
    url = config.public_url.rstrip("/") or config.clients.url
    files = AccountFiles(directory=config.state, url=url, ca_file=config.clients.certificate)
    try:
        if await store.read(identity.has_users, one_statement=True):
            return
        # Two controllers that start together would make two accounts, and one of them would be of no use.
        async with Lease(LeaseConfig(), store, "first-start").held(patient=False):
            await ensure_admin(store, hasher, files)
    except Unavailable as error:
        raise ServeError(f"The admin's account can't be made: {error.message}") from error
    except OSError as error:
        raise ServeError(f"Can't write the admin's account into {config.state} ({error.strerror}).") from error


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ServeError(f"Can't make the state directory {path} ({error.strerror}): choose with --state.") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ServeError(f"The state directory {path} isn't writable for us: choose another with --state.")
