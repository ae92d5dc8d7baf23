"""The way to Nova: a token and an address from Keystone; events go there, lists come from there."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp
import msgspec
import structlog

from suimon.api.nova.config import Config
from suimon.resources.nova_events import Event

_MOST_BYTES: Final = 16 << 20
"""Of an answer: 500 servers have less than 2 MiB."""
_CHUNK_BYTES: Final = 64 << 10
_VERSION: Final = {"OpenStack-API-Version": "compute 2.26"}
"""From here on servers have tags; from 2.47 on their flavors have no id any more."""
_AGAIN: Final = frozenset({401, 403, 408, 409, 429})
"""Answers that say nothing about the events: a token that ended, a role that is missing still, too much at once."""
log = structlog.get_logger()


class NovaError(Exception):
    """Nova couldn't be told; trying again may help."""


class _Access(NamedTuple):
    token: str
    url: str


class Nova:
    """Nova as `config` says; to be used as an asynchronous context."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._access: _Access | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Nova:
        tls = ssl.create_default_context(cafile=self._config.cafile) if self._config.cafile else True
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls, limit=2),
            timeout=aiohttp.ClientTimeout(total=self._config.timeout_s),
            trust_env=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, events: Sequence[Event]) -> None:
        """Returns when Nova has heard them, whatever it made of them. Raises NovaError."""
        status, body = await self._with_token("os-server-external-events", {"events": events})
        if status in _AGAIN or status >= 500:
            raise NovaError(f"Nova answered {status}")
        if status in (200, 207):
            refused = [one for one in _listed(body) if one.get("code") != 200]
            log.info("nova_told", events=len(events), not_for_nova=len(refused))
        elif status == 404:
            log.info("nova_told", events=len(events), not_for_nova=len(events))
        else:
            # The same words again would be refused again, and hold up all that follow.
            log.warning("nova_refused", status=status, events=len(events), answer=body[:300].decode(errors="replace"))

    async def get(self, path: str) -> dict[str, Any]:
        """What Nova answers, an object. Raises NovaError."""
        status, body = await self._with_token(path, None)
        if status != 200:
            raise NovaError(f"Nova answered {status}")
        try:
            return msgspec.json.decode(body, type=dict[str, Any])
        except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
            raise NovaError(f"Nova's answer is none: {error}") from error

    async def _with_token(self, path: str, body: object) -> tuple[int, bytes]:
        """Asked again with a new token if an old one has ended."""
        known = self._access is not None
        status, answer = await self._asked(path, body)
        if status == 401 and known:
            status, answer = await self._asked(path, body)
        return status, answer

    async def _asked(self, path: str, body: object) -> tuple[int, bytes]:
        access = self._access = self._access or await self._authenticate()
        url = f"{access.url.rstrip('/')}/{path}"
        headers = {"X-Auth-Token": access.token, **({} if body is not None else _VERSION)}
        try:
            status, _, answer = await self._ask(url, body, headers)
        except NovaError:
            self._access = None  # It may have moved.
            raise
        if status in (401, 403):
            self._access = None
        return status, answer

    async def _authenticate(self) -> _Access:
        config = self._config
        if config.token_file:
            try:
                token = (await asyncio.to_thread(Path(config.token_file).read_text)).strip()
            except (OSError, UnicodeDecodeError) as error:
                raise NovaError(f"can't read the token: {error}") from error
            return _Access(token, config.endpoint_override)
        url = config.auth_url.rstrip("/").removesuffix("/v3") + "/v3/auth/tokens"
        status, headers, body = await self._ask(url, _password(config), {})
        token = headers.get("X-Subject-Token", "")
        if status != 201 or not token:
            raise NovaError(f"Keystone answered {status}")
        return _Access(token, config.endpoint_override or _endpoint(config, body))

    async def _ask(self, url: str, body: object, headers: dict[str, str]) -> tuple[int, Any, bytes]:
        assert self._session is not None, "it is a context"
        method, encoded = ("GET", None) if body is None else ("POST", msgspec.json.encode(body))
        headers = {"Content-Type": "application/json", "Accept": "application/json", **headers}
        try:
            # A redirect would take our token along.
            asked = self._session.request(method, url, data=encoded, headers=headers, allow_redirects=False)
            async with asked as response:
                return response.status, response.headers, await _bounded(response.content)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise NovaError(f"{url}: {str(error) or type(error).__name__}") from error


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    """All of an answer. Raises NovaError when that is too much."""
    parts, size = [], 0
    async for part in content.iter_chunked(_CHUNK_BYTES):
        size += len(part)
        if size > _MOST_BYTES:
            raise NovaError(f"an answer of more than {_MOST_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)


def _password(config: Config) -> object:
    user = {"name": config.username, "password": config.password, "domain": {"name": config.user_domain_name}}
    project = {"name": config.project_name, "domain": {"name": config.project_domain_name}}
    identity = {"methods": ["password"], "password": {"user": user}}
    return {"auth": {"identity": identity, "scope": {"project": project}}}


def _endpoint(config: Config, body: bytes) -> str:
    """Nova's address in the catalog of a token. Raises NovaError."""
    try:
        catalog = msgspec.json.decode(body)["token"]["catalog"]
        found: list[str] = [
            endpoint["url"]
            for service in catalog
            if service["type"] == "compute"
            for endpoint in service["endpoints"]
            if endpoint["interface"] == config.endpoint_type.removesuffix("URL")
            and config.region_name in ("", endpoint.get("region_id"), endpoint.get("region"))
        ]
        return found[0]
    except (msgspec.DecodeError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise NovaError("Keystone's catalog has no such compute endpoint") from error


def _listed(body: bytes) -> list[dict[str, object]]:
    try:
        return msgspec.json.decode(body, type=dict[str, list[dict[str, object]]]).get("events", [])
    except (msgspec.DecodeError, msgspec.ValidationError):
        return []
