"""Nova's metadata API, asked for an instance as Neutron's agents ask it: who it is, signed with a shared secret.

The contract is in Nova's `api/metadata/handler.py`: with `service_metadata_proxy` on, it believes the headers below
when `X-Instance-ID-Signature` is the HMAC-SHA256 of the instance's id.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import msgspec
import structlog

from suimon.agent.services.askers import Asker

log = structlog.get_logger()

MOST_ANSWER_BYTES: Final = 1 << 20
_PASSED_ON: Final = frozenset({400, 403, 404, 409})
"""What Nova says that is about the request; everything else that isn't success is a fault behind us."""


class NovaConfigError(Exception):
    """The options don't fit; str() says what to do."""


class Config(msgspec.Struct, frozen=True):
    """`url` is Nova's metadata API, as in http://nova:8775; `secret` is its metadata_proxy_shared_secret."""

    url: str
    secret: bytes = msgspec.field(default=b"")
    timeout_s: float = 30.0


class Request(msgspec.Struct, frozen=True):
    """What of a guest's request goes on: nothing else of it reaches Nova."""

    method: str
    path: str
    body: bytes = b""


class Reply(msgspec.Struct, frozen=True):
    status: int
    body: bytes = b""
    content_type: str = "text/plain"


def read_config(url: str, secret_file: Path) -> Config:
    """Raises NovaConfigError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise NovaConfigError(f"--metadata-nova {url}: say where Nova's metadata API is, as in http://nova:8775")
    try:
        secret = secret_file.read_bytes().strip()
    except OSError as error:
        raise NovaConfigError(f"can't read the shared secret {secret_file}: {error.strerror}") from error
    if not secret:
        raise NovaConfigError(f"the shared secret {secret_file} is empty: it is Nova's metadata_proxy_shared_secret")
    return Config(url.rstrip("/"), secret)


class Nova:
    """One session for all guests; `close` ends it."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, asker: Asker, request: Request) -> Reply:
        """Nova's answer, or a 5xx of ours when there is none."""
        if not asker.port.device_id:
            return Reply(404)
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self._config.timeout_s)
            self._session = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
        try:
            async with self._session.request(
                request.method,
                self._config.url + request.path,
                headers=signed(asker, self._config.secret),
                data=request.body or None,
                allow_redirects=False,
            ) as answer:
                return await _read(answer)
        except TimeoutError:
            log.warning("nova_metadata_slow", timeout_s=self._config.timeout_s)
            return Reply(504)
        except (aiohttp.ClientError, OSError) as error:
            log.warning("nova_metadata_unreachable", reason=str(error))
            return Reply(503)

    async def close(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            async with asyncio.timeout(self._config.timeout_s):
                await session.close()


def signed(asker: Asker, secret: bytes) -> dict[str, str]:
    """Who asks, as Nova wants to be told."""
    instance_id = asker.port.device_id
    return {
        "X-Forwarded-For": asker.ip,
        "X-Instance-ID": instance_id,
        "X-Tenant-ID": asker.port.project_id,
        "X-Instance-ID-Signature": hmac.new(secret, instance_id.encode(), hashlib.sha256).hexdigest(),
    }


async def _read(answer: aiohttp.ClientResponse) -> Reply:
    if answer.status != 200:
        if answer.status == 403:
            log.warning("nova_metadata_forbidden", hint="do the shared secrets agree?")
        return Reply(answer.status if answer.status in _PASSED_ON else 502)
    body = bytearray()
    async for chunk in answer.content.iter_chunked(65536):
        body += chunk
        if len(body) > MOST_ANSWER_BYTES:
            log.warning("nova_metadata_too_long", most_bytes=MOST_ANSWER_BYTES)
            return Reply(502)
    return Reply(200, bytes(body), answer.content_type)
