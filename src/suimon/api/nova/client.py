"""The way to Nova: a token and an address from Keystone, and one request."""

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

_MOST_BYTES: Final = 1 << 20
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
        known = self._access is not None
        status, body = await self._post(events)
        if status == 401 and known:
            status, body = await self._post(events)
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

    async def _post(self, events: Sequence[Event]) -> tuple[int, bytes]:
        access = self._access = self._access or await self._authenticate()
        url = f"{access.url.rstrip('/')}/os-server-external-events"
        try:
            status, _, body = await self._ask(url, {"events": events}, {"X-Auth-Token": access.token})
        except NovaError:
            self._access = None  # It may have moved.
            raise
        if status in (401, 403):
            self._access = None
        return status, body

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
        encoded = msgspec.json.encode(body)
        headers = {"Content-Type": "application/json", "Accept": "application/json", **headers}
        try:
            # A redirect would take our token along.
            async with self._session.post(url, data=encoded, headers=headers, allow_redirects=False) as response:
                return response.status, response.headers, await response.content.read(_MOST_BYTES)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise NovaError(f"{url}: {str(error) or type(error).__name__}") from error


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
