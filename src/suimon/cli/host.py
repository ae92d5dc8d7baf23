"""`suimon host`: hypervisors, through the operations API, as the admin of a clouds.yaml."""

import asyncio
import json
import os
import re
import ssl
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import aiohttp
import click
import msgspec

from suimon.cli.times import moment

_TIMEOUT_S: Final = 30.0
_LONGEST_S: Final = 300.0
"""Of an answer that tells how far it is."""
_CLOCK_OFF_S: Final = 5.0
"""Restrictions are lifted by the host's clock: so much too early or too late nobody minds."""
_ASK_EVERY_S: Final = 0.5
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_NAMED: Final = 5
"""As many of those that share a name are listed."""
_CONFIG_FILES: Final = ("clouds.yaml", "~/.config/openstack/clouds.yaml", "/etc/openstack/clouds.yaml")


class CloudError(Exception):
    """The cloud can't be asked, or said no. The message is one sentence for the operator."""


class Auth(msgspec.Struct):
    """How to log in; the rest of what a clouds.yaml may say is not needed here."""

    auth_url: str
    username: str
    password: str
    project_name: str
    user_domain_name: str = "Default"
    project_domain_name: str = "Default"


class CloudEntry(msgspec.Struct):
    """One cloud of a clouds.yaml."""

    auth: Auth
    cacert: str | None = None


class CloudsFile(msgspec.Struct):
    """A clouds.yaml. Other clouds in it may log in by other means."""

    clouds: dict[str, Any]


_state = click.option(
    "--state", type=click.Path(path_type=Path), help="The controller's state directory, for the clouds.yaml in it."
)


@click.group()
def host() -> None:
    """Hypervisors: let them join, look at them, accept what they hold back, remove them.

    Logs in as the cloud OS_CLOUD (suimon) of the clouds.yaml in --state, of OS_CLIENT_CONFIG_FILE, or where
    the openstack client looks for it.
    """


@host.command()
@_state
@click.option("--host", "name", default="", help="Only a host of this name may use it, also one that joined before.")
@click.option("--collector", default="", help="For a collector of flow records of this name, not for a host.")
@click.option("--lifetime", "lifetime_s", default=3600, show_default=True, help="Seconds for which it is good.")
def token(state: Path | None, name: str, collector: str, lifetime_s: int) -> None:
    """Print a token with which one host can join, once."""
    wanted = {"host": name, "lifetime_s": lifetime_s, **({"collector": collector} if collector else {})}
    made = call(state, "POST", "hosts/tokens", wanted)
    click.echo(made["token"]["secret"])


@host.command("list")
@_state
@click.option("--json", "as_json", is_flag=True, help="As the API says it.")
def list_(state: Path | None, as_json: bool) -> None:
    """All hosts and how they are."""
    hosts = call(state, "GET", "hosts")["hosts"]
    if as_json:
        click.echo(json.dumps(hosts, indent=2))
        return
    rows = [
        (h["name"], _state_of(h), h["tunnel_ip"] or "-", str(h["lag_revisions"]), h["reported_at"] or "-", _trouble(h))
        for h in hosts
    ]
    print_table(("NAME", "STATE", "TUNNEL", "LAG", "REPORTED", "TROUBLE"), rows)


@host.command()
@_state
@click.argument("name")
@click.option("--events", is_flag=True, help="What happened there instead: what drifted, was repaired, was removed.")
@click.option("--since", default="", help="Events since so long ago (90s, 30m, 24h, 7d), or a time (ISO 8601).")
@click.option("--until", default="", help="Events before that; the same.")
@click.option("--limit", default=100, show_default=True, help="As many events at most, the newest.")
@click.option("--json", "as_json", is_flag=True, help="Events as the API says them.")
def show(state: Path | None, name: str, **options: Any) -> None:
    """Everything known of one host, as JSON; or its trail, the newest last."""
    path = f"hosts/{quote(name, safe='')}"
    times = {each: moment(options[each]) for each in ("since", "until") if options[each]}
    if not (options["events"] or times):
        click.echo(json.dumps(call(state, "GET", path)["host"], indent=2))
        return
    found = call(state, "GET", f"{path}/events?{urlencode({**times, 'limit': options['limit']})}")["events"]
    if options["as_json"]:
        click.echo(json.dumps(found, indent=2))
        return
    rows = [(e["at"], e["kind"], e["author"], e["owner"] or "-", _event_words(e)) for e in reversed(found)]
    print_table(("AT", "KIND", "BY", "OWNER", "WHAT"), rows)


@host.command()
@_state
@click.argument("name")
def accept(state: Path | None, name: str) -> None:
    """Let a host apply the snapshot that it holds back because of how much it deletes."""
    call(state, "POST", f"hosts/{quote(name, safe='')}/accept")
    click.echo(f"{name} is told to apply what it holds back.")


@host.command()
@_state
@click.argument("name")
@click.option("--undo", is_flag=True, help="Back into service.")
@click.option("--empty", is_flag=True, help="Wait for the second phase, too: until no port is left on it.")
@click.option("--wait", "wait_s", default=60.0, show_default=True, help="Seconds to wait until it is done.")
def drain(state: Path | None, name: str, undo: bool, empty: bool, wait_s: float) -> None:
    """Take a host out of service: what the cloud does there for others goes elsewhere first.

    Guests are left where they are: they are Nova's to move. What is left is listed. With --empty the host is waited for
    while they are moved, and it is an error that some are left in the end.
    """
    path = f"hosts/{quote(name, safe='')}/drain"
    if undo:
        call(state, "DELETE", path)
        click.echo(f"{name} is in service again.")
        return
    told, deadline, said = call(state, "POST", path)["drain"], time.monotonic() + wait_s, ""
    while waiting := _waits_for(told, empty=empty):
        if waiting != said:
            click.echo(waiting)
            said = waiting
        if time.monotonic() > deadline:
            raise click.ClickException("\n".join([f"Not done within {wait_s:g} s. {waiting}", *_left(told)]))
        time.sleep(_ASK_EVERY_S)
        told = call(state, "GET", path)["drain"]
    click.echo("\n".join([f"{name} is drained; {len(told['ports'])} ports are left on it.", *_left(told)]))


@host.command()
@_state
@click.argument("name")
def remove(state: Path | None, name: str) -> None:
    """Forget a host without ports; its credential is worth nothing afterwards."""
    call(state, "DELETE", f"hosts/{quote(name, safe='')}")
    click.echo(f"{name} is removed.")


def call(state: Path | None, method: str, path: str, body: object = None) -> Any:
    """What `/operations/v1/<path>` answers the clouds.yaml's account. Raises ClickException with its words."""
    return _called(state, method, f"operations/v1/{path}", body)


def call_policy(state: Path | None, method: str, path: str, body: object = None) -> Any:
    """The same of `/policy/v1/<path>`."""
    return _called(state, method, f"policy/v1/{path}", body)


def id_of(state: Path | None, kind: str, text: str) -> str:
    """The id of the port or network that `text` names, by its id or by its name among those that the account sees.
    Raises ClickException unless it is one.
    """
    if _UUID.fullmatch(text):
        return text
    told = _called(state, "GET", f"v2.0/{kind}s?{urlencode({'name': text, 'fields': 'id'})}", None)
    ids = [each["id"] for each in told[f"{kind}s"]]
    if len(ids) != 1:
        several = f"Several {kind}s are named {text}: say which by id, one of {', '.join(ids[:_NAMED])}"
        more = f" and {len(ids) - _NAMED} more." if len(ids) > _NAMED else "."
        raise click.ClickException(several + more if ids else f"There is no {kind} {text}.")
    return str(ids[0])


def request(state: Path | None, method: str, path: str, body: object = None) -> Any:
    """The same of any part of the API, such as `v2.0/ports`: its JSON, None for nothing. Raises CloudError."""
    cloud = _cloud_entry(state)
    try:
        return asyncio.run(_ask(cloud, method, path, body))
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        url = cloud.auth.auth_url
        raise CloudError(f"The controller behind {url} can't be reached ({error or 'no answer'}).") from error


def _called(state: Path | None, method: str, path: str, body: object) -> Any:
    try:
        return request(state, method, path, body)
    except CloudError as error:
        raise click.ClickException(str(error)) from None


def follow(state: Path | None, path: str, body: object, heard: Callable[[Any], None]) -> None:
    """POST what is answered in lines of JSON, one after the other as they come. Raises CloudError."""
    cloud = _cloud_entry(state)

    async def ask() -> None:
        async with _answered(cloud, "POST", path, body, _LONGEST_S) as answer:
            if answer.status >= 400:
                await _checked(answer)
            async for line in answer.content:
                heard(msgspec.json.decode(line))

    try:
        asyncio.run(ask())
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise CloudError(f"The answer broke off ({error or 'nothing came'}).") from error


async def _ask(cloud: CloudEntry, method: str, path: str, body: object) -> Any:
    async with _answered(cloud, method, path, body, _TIMEOUT_S) as answer:
        return await _checked(answer)


@asynccontextmanager
async def _answered(
    cloud: CloudEntry, method: str, path: str, body: object, timeout_s: float
) -> AsyncIterator[aiohttp.ClientResponse]:
    tls = ssl.create_default_context(cafile=cloud.cacert) if cloud.cacert else True
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls), timeout=timeout) as session:
        auth = cloud.auth
        async with session.post(f"{auth.auth_url}/auth/tokens", json=_login(auth)) as answer:
            await _checked(answer)
            token = answer.headers["X-Subject-Token"]
        root = auth.auth_url.removesuffix("/").removesuffix("/v3").removesuffix("/identity")
        async with session.request(method, f"{root}/{path}", json=body, headers={"X-Auth-Token": token}) as answer:
            yield answer


def _cloud_entry(state: Path | None) -> CloudEntry:
    """Raises CloudError when there is no usable clouds.yaml."""
    name = os.environ.get("OS_CLOUD", "suimon")
    given = state / "clouds.yaml" if state else os.environ.get("OS_CLIENT_CONFIG_FILE")
    candidates = [Path(path).expanduser() for path in ([given] if given else _CONFIG_FILES)]
    for path in candidates:
        try:
            return msgspec.convert(msgspec.yaml.decode(path.read_bytes(), type=CloudsFile).clouds[name], CloudEntry)
        except FileNotFoundError:
            continue
        except KeyError:
            raise CloudError(f"There is no cloud named {name!r} in {path}: set OS_CLOUD.") from None
        except (OSError, msgspec.MsgspecError) as error:
            raise CloudError(f"Can't read {path} ({error}).") from None
    tried = ", ".join(map(str, candidates))
    raise CloudError(f"There is no clouds.yaml ({tried}): name the controller's directory with --state.")


def _login(auth: Auth) -> dict[str, object]:
    user = {"name": auth.username, "domain": {"name": auth.user_domain_name}, "password": auth.password}
    scope = {"project": {"name": auth.project_name, "domain": {"name": auth.project_domain_name}}}
    return {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}


async def _checked(answer: aiohttp.ClientResponse) -> Any:
    """The body's JSON. Raises CloudError with the controller's own words."""
    body = await answer.read()
    try:
        told = msgspec.json.decode(body) if body else None
    except msgspec.DecodeError:
        raise CloudError(f"{answer.url} is no Suimon controller: it answered with something else than JSON.") from None
    if answer.status >= 400:
        said = [told[name]["message"] for name in ("error", "NeutronError") if isinstance(told, dict) and name in told]
        raise CloudError(said[0] if said else str(answer.status))
    return told


def _left(told: dict[str, Any]) -> list[str]:
    return [f"  {port['id']}  {port['device_owner'] or '-'}  {port['device_id'] or '-'}" for port in told["ports"]]


def _waits_for(told: dict[str, Any], *, empty: bool) -> str:
    """Nothing when it is done: the first phase, and with `empty` the second."""
    if told["done"]:
        left = len(told["ports"])
        return f"Nobody depends on it any more; {left} ports are left, for Nova to move." if empty and left else ""
    if told["routers"]:
        return f"No other host can lead out these routers: {', '.join(told['routers'])}."
    behind = ", ".join(told["waiting_for"]) or "the controller"
    return f"Waiting until all hosts know; not yet: {behind}."


def _state_of(told: dict[str, Any]) -> str:
    return ("up" if told["up"] else "down") + (", drained" if told["drained"] else "")


def _event_words(told: dict[str, Any]) -> str:
    counts = [f"{told[name]} {name}" for name in ("missing", "changed", "extra") if told[name]]
    counts = [] if told["kind"] == "removal" else counts
    left = [] if told["repaired"] else [f"not repaired: {told['reason']}"]
    return "; ".join(filter(None, [", ".join(counts), told["example"], *left])) or "-"


def _trouble(told: dict[str, Any]) -> str:
    if told["held"]:
        return f"holds a snapshot back: {told['held']}"
    failures = [f"{owner}: {why}" for owner, why in told["failures"].items()]
    failures += [f"orphan: {each}" for each in told["orphans"]]
    if abs(offset_s := told["clock_offset_s"] or 0.0) > _CLOCK_OFF_S:
        failures.insert(0, f"its clock is {abs(offset_s):.0f} s {'ahead' if offset_s > 0 else 'behind'}")
    return "; ".join(failures[:3]) or "-"


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[n]) for row in (titles, *rows)) for n in range(len(titles))]
    for row in (titles, *rows):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
