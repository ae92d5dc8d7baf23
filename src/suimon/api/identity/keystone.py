"""Beside a Keystone: what its tokens stand for, asked of it over HTTP as an account of ours there.

An answer is believed for a minute (`Config.valid_s`): that is how long a token that was revoked may still open
something here. Tokens that Keystone doesn't know are remembered too, for a shorter time. However many requests come
with one token, Keystone is asked once. While it doesn't answer, tokens that aren't remembered are told 503, not 401:
the caller did nothing wrong.
"""

import asyncio
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
import structlog
from starlette.responses import Response

from suimon.api.errors import identity_error
from suimon.api.gate import token_hash
from suimon.api.wire import Call
from suimon.model.actor import Actor
from suimon.model.errors import NotFound, Unauthorized, Unavailable
from suimon.resources.identity import REFUSED

log = structlog.get_logger()

_BODY_LIMIT_BYTES: Final = 1 << 20
_MARGIN_S: Final = 60.0
"""Our own token is renewed so long before it ends."""
_AFTER_REFUSAL_S: Final = 5.0
"""Between two logins of ours when Keystone refuses our account: it may lock accounts that fail too often."""


class Account(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Our account in Keystone, as the file of `--identity-config` says it: it needs the role `service` or `admin` in
    some project, to look at other users' tokens. Either a user with a password or an application credential.
    """

    username: str = ""
    password: str = ""
    project_name: str = "service"
    user_domain_name: str = "Default"
    project_domain_name: str = "Default"
    application_credential_id: str = ""
    application_credential_secret: str = ""
    ca_file: str = ""


class Config(msgspec.Struct, frozen=True):
    """`url` is Keystone's, with or without `/v3`. `valid_s` bounds how late a revocation is noticed."""

    url: str
    account: Account
    valid_s: float = 60.0
    unknown_s: float = 10.0
    remembered: int = 10_000
    at_once: int = 32
    waiting: int = 1_000
    timeout_s: float = 5.0


class ConfigError(Exception):
    """The file can't be used. The message is one sentence."""


class _Answer(msgspec.Struct, frozen=True):
    """What Keystone said of a token (None: it knows none such), believed until a moment of the monotonic clock."""

    actor: Actor | None
    until: float


def read_account(path: Path) -> Account:
    """The account in a YAML file. Raises ConfigError."""
    try:
        account = msgspec.yaml.decode(path.read_bytes(), type=Account)
    except OSError as error:
        raise ConfigError(f"Can't read the identity file {path} ({error.strerror}).") from None
    except (msgspec.MsgspecError, UnicodeError) as error:
        reason = str(error) if isinstance(error, msgspec.ValidationError) else "it isn't YAML"
        raise ConfigError(f"The identity file {path} can't be used: {reason}.") from None
    if not (account.username and account.password) and not (
        account.application_credential_id and account.application_credential_secret
    ):
        raise ConfigError(
            f"The identity file {path} names no account: give username and password, or application_credential_id and "
            "application_credential_secret."
        )
    return account


class Keystone:
    """Asks Keystone what tokens stand for. Make it anywhere, use it from one event loop, `close` it there."""

    def __init__(
        self,
        config: Config,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._config = config
        self._clock, self._now = clock, now
        self._url = config.url.rstrip("/").removesuffix("/v3") + "/v3"
        self._known: OrderedDict[str, _Answer] = OrderedDict()
        self._asking: dict[str, asyncio.Task[Actor | None]] = {}
        self._at_once = asyncio.Semaphore(config.at_once)
        self._login = asyncio.Lock()
        self._own_token = ""
        self._own_until = 0.0
        self._refused_until = 0.0
        self._session: aiohttp.ClientSession | None = None

    async def actor(self, token: str, request_id: str) -> Actor:
        """Whose token it is. Raises Unauthorized, Unavailable."""
        key = token_hash(token)
        answer = self._known.get(key)
        if answer is None or answer.until <= self._clock():
            actor = await self._asked(key, token)
        else:
            self._known.move_to_end(key)
            actor = answer.actor
        if actor is None:
            raise Unauthorized(REFUSED)
        return msgspec.structs.replace(actor, request_id=request_id)

    async def close(self) -> None:
        """Ends the connections to Keystone."""
        if self._session:
            await self._session.close()

    async def _asked(self, key: str, token: str) -> Actor | None:
        task = self._asking.get(key)
        if task is None:
            if len(self._asking) >= self._config.waiting:
                raise Unavailable("Too many tokens are being validated; try again in a moment.")
            task = asyncio.create_task(self._ask(key, token))
            self._asking[key] = task
            task.add_done_callback(lambda done: self._answered(key, done))
        return await asyncio.shield(task)

    def _answered(self, key: str, done: asyncio.Task[Actor | None]) -> None:
        del self._asking[key]
        if not done.cancelled():
            done.exception()  # Looked at here, in case all who waited for it have left.

    async def _ask(self, key: str, token: str) -> Actor | None:
        began = self._clock()
        async with self._at_once:
            status, _, body = await self._get(token, await self._own())
            if status == 401:
                # Ours was revoked, or ended early.
                self._own_until = 0.0
                status, _, body = await self._get(token, await self._own())
        if status == 404:
            return self._remember(key, None, began + self._config.unknown_s)
        if status != 200:
            log.warning("keystone_failed", status=status, act="validate a token")
            raise self._away(f"answered {status} when asked about a token")
        actor, left_s = _read(body, self._now())
        return self._remember(key, actor, began + min(self._config.valid_s, left_s))

    def _remember(self, key: str, actor: Actor | None, until: float) -> Actor | None:
        self._known[key] = _Answer(actor, until)
        self._known.move_to_end(key)
        while len(self._known) > self._config.remembered:
            self._known.popitem(last=False)
        return actor

    async def _get(self, token: str, own: str) -> tuple[int, str, Any]:
        headers = {"X-Auth-Token": own, "X-Subject-Token": token}
        return await self._call("GET", "auth/tokens?nocatalog=1", headers, None)

    async def _own(self) -> str:
        """Our own token, renewed before it ends. Raises Unavailable."""
        async with self._login:
            if self._clock() >= self._own_until:
                if self._clock() < self._refused_until:
                    raise self._away("refuses our account")
                status, token, body = await self._call("POST", "auth/tokens", {}, _login(self._config.account))
                if status != 201 or not token:
                    self._refused_until = self._clock() + _AFTER_REFUSAL_S
                    log.error("keystone_refuses_us", status=status, url=self._url)
                    raise self._away("refuses our account")
                self._own_token = token
                self._own_until = self._clock() + _read(body, self._now())[1] - _MARGIN_S
            return self._own_token

    async def _call(self, method: str, path: str, headers: dict[str, str], body: object) -> tuple[int, str, Any]:
        """(status, X-Subject-Token, body). Raises Unavailable when there is no answer, or none that can be read."""
        try:
            async with self._client().request(
                method, f"{self._url}/{path}", headers=headers, json=body, allow_redirects=False
            ) as response:
                text = b""
                async for part in response.content.iter_chunked(1 << 16):
                    text += part
                    if len(text) > _BODY_LIMIT_BYTES:
                        raise self._away("says too much")
                told = msgspec.json.decode(text) if response.status in (200, 201) else None
                return response.status, response.headers.get("X-Subject-Token", ""), told
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.MsgspecError) as error:
            log.warning("keystone_away", url=self._url, reason=str(error) or type(error).__name__)
            raise self._away("doesn't answer") from None

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            ca_file = self._config.account.ca_file
            context = ssl.create_default_context(cafile=ca_file or None)
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._config.timeout_s),
                connector=aiohttp.TCPConnector(limit=self._config.at_once + 1, ssl=context),
            )
        return self._session

    def _away(self, what: str) -> Unavailable:
        return Unavailable(f"The identity service {what}, so it can't be said whose token this is. Try again.")


class Pointer:
    """Answers under `/identity` where a Keystone does what would be done here."""

    dialect = staticmethod(identity_error)

    def __init__(self, url: str) -> None:
        self._url = url

    async def answer(self, call: Call) -> Response:
        """Raises NotFound, which says where."""
        raise NotFound(f"Identity is served by Keystone at {self._url}.")


def _login(account: Account) -> dict[str, object]:
    if account.application_credential_id:
        secret = {"id": account.application_credential_id, "secret": account.application_credential_secret}
        return {"auth": {"identity": {"methods": ["application_credential"], "application_credential": secret}}}
    user = {
        "name": account.username,
        "password": account.password,
        "domain": {"name": account.user_domain_name},
    }
    project = {"name": account.project_name, "domain": {"name": account.project_domain_name}}
    return {
        "auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": project},
        }
    }


def _read(body: Any, now: datetime) -> tuple[Actor, float]:
    """Whose token it is, and for how many seconds yet. Raises Unavailable for what no Keystone says."""
    try:
        token = body["token"]
        roles = frozenset(str(role["name"]) for role in token.get("roles", ()))
        ends = datetime.fromisoformat(token["expires_at"])
        actor = Actor(str(token["user"]["id"]), str(token.get("project", {}).get("id", "")), roles)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Unavailable("The identity service says something of a token that we can't read.") from None
    return actor, (ends - now).total_seconds()
