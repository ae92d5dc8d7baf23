"""`suimon serve`: the controller. One process, one SQLite file, a listener for clients and another for hosts."""

import asyncio
import os
import signal
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path

import click
import msgspec
import structlog
import uvloop

from suimon.api.application import ClientsApp
from suimon.api.application import Config as ApiConfig
from suimon.api.gate import Gate
from suimon.api.identity import passwords, throttle, tokens
from suimon.api.identity.first_admin import AccountFiles, ensure_admin
from suimon.api.identity.service import IdentityService
from suimon.api.network.documents import Versions
from suimon.api.network.service import NetworkService
from suimon.api.operations.health import Health
from suimon.api.operations.service import OperationsService
from suimon.cli.listener import Endpoint, Listener, ListenError, bound, endpoint
from suimon.cli.logs import log_to_stderr
from suimon.distribution.application import hosts_app
from suimon.distribution.config import DistributionConfig
from suimon.distribution.distribution import Distribution
from suimon.model.settings import Ranges, Settings
from suimon.resources import hosts as host_acts
from suimon.resources.registry import RESOURCES
from suimon.store.errors import StoreError
from suimon.store.store import Store, StoreConfig

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


@click.command()
@click.option("--state", type=click.Path(path_type=Path), required=True, help="Directory of the database and accounts.")
@click.option("--listen", default="127.0.0.1:9696", show_default=True, help="HOST:PORT for clients.")
@click.option("--hosts-listen", default="127.0.0.1:9697", show_default=True, help="HOST:PORT for hypervisors.")
@click.option("--public-url", default="", help="How clients reach us, if not by the address they connect to.")
@click.option("--physnets", default="", help="Physical networks, as in public,physnet1.")
@click.option("--vlan-ranges", default="", help="VLANs to choose from, as in physnet1:100-199,physnet1:300.")
@click.option("--vni-ranges", default="", help="VXLAN ids to choose from, as in 1000-1999,5000.")
@click.option("--tls-cert", default="", help="Certificate chain (PEM) for clients.")
@click.option("--tls-key", default="", help="Its private key.")
@click.option("--hosts-tls-cert", default="", help="Certificate chain (PEM) for hypervisors.")
@click.option("--hosts-tls-key", default="", help="Its private key.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning"]), default="info", show_default=True)
def serve(state: Path, log_level: str, **options: str) -> None:
    """Run the controller: Neutron, Keystone and our own API for clients, and the listener for hypervisors.

    The first start makes the account `admin` and writes it to clouds.yaml and openrc in the state directory.
    """
    log_to_stderr(log_level)
    try:
        config = Config(
            state=state.absolute(),
            clients=endpoint(options["listen"], "--listen", options["tls_cert"], options["tls_key"]),
            hosts=endpoint(
                options["hosts_listen"], "--hosts-listen", options["hosts_tls_cert"], options["hosts_tls_key"]
            ),
            settings=_settings(options["physnets"], options["vlan_ranges"], options["vni_ranges"]),
            public_url=options["public_url"],
        )
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(config))
    except (ServeError, ListenError, StoreError) as error:
        raise click.ClickException(str(error)) from None


async def run(config: Config) -> None:
    """Serves until SIGTERM or SIGINT. Raises ServeError, ListenError and StoreError, having made nothing that stays."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with ExitStack() as opened:
        client_socket, host_socket = (opened.enter_context(bound(where)) for where in (config.clients, config.hosts))
        _make_directory(config.state)
        store = Store(StoreConfig(url=f"sqlite:///{config.state / 'suimon.db'}", settings=config.settings))
        store.open()
        opened.callback(store.close)
        hasher = passwords.Passwords(passwords.Config())
        opened.callback(hasher.close)
        await _first_start(config, store, hasher)
        distribution = Distribution(DistributionConfig(), store, host_acts)
        clients = Listener(_clients_app(config, store, hasher, distribution), config.clients, client_socket)
        hosts = Listener(hosts_app(distribution), config.hosts, host_socket)
        _warn_of_listeners(config)
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(distribution.run())
            for listener in (clients, hosts):
                tasks.create_task(listener.run_bound())
                await listener.ready.wait()
            click.echo(f"suimon is ready: clients at {config.clients.url}, hosts at {config.hosts.url}")
            await stop.wait()
            following.cancel()
            clients.should_exit = hosts.should_exit = True


def _clients_app(config: Config, store: Store, hasher: passwords.Passwords, distribution: Distribution) -> ClientsApp:
    gate = Gate(store)
    guard = throttle.Throttle(throttle.Config())
    return ClientsApp(
        ApiConfig(public_url=config.public_url),
        {
            "": Versions(),
            "v2.0": NetworkService(gate, RESOURCES),
            "identity": IdentityService(gate, hasher, tokens.Tokens(tokens.Config(), gate, hasher, guard)),
            "operations": OperationsService(gate, distribution),
            "healthz": Health(store),
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
    url = config.public_url.rstrip("/") or config.clients.url
    try:
        await ensure_admin(
            store, hasher, AccountFiles(directory=config.state, url=url, ca_file=config.clients.certificate)
        )
    except OSError as error:
        raise ServeError(f"Can't write the admin's account into {config.state} ({error.strerror}).") from error


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ServeError(f"Can't make the state directory {path} ({error.strerror}): choose with --state.") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ServeError(f"The state directory {path} isn't writable for us: choose another with --state.")


def _settings(physnets: str, vlan_ranges: str, vni_ranges: str) -> Settings:
    names = [name.strip() for name in physnets.split(",") if name.strip()]
    vlans: dict[str, Ranges] = dict.fromkeys(names, ())
    for part in filter(None, vlan_ranges.split(",")):
        name, _, numbers = part.strip().rpartition(":")
        if name not in vlans:
            raise ServeError(f"--vlan-ranges speaks of the physical network {name!r}, which --physnets doesn't name.")
        vlans[name] += (_range(numbers, 4094, "--vlan-ranges"),)
    vnis = tuple(_range(part, (1 << 24) - 1, "--vni-ranges") for part in vni_ranges.split(",") if part)
    return Settings(vlans=vlans, flat=tuple(names), vnis=vnis or Settings().vnis)


def _range(text: str, most: int, option: str) -> tuple[int, int]:
    first, _, last = text.strip().partition("-")
    last = last or first
    if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last) <= most):
        raise ServeError(f"{option} {text!r} is not a range of numbers from 1 to {most}.")
    return int(first), int(last)
