"""Collectors as controllers ask them: a question each, at once, bounded in time and size."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from ssl import SSLContext
from typing import Final, TypeVar

import aiohttp
import msgspec
import structlog

from suimon.model.errors import BadRequest
from suimon.model.things import Collector

T = TypeVar("T")
log = structlog.get_logger()

_TIMEOUT_S: Final = 20.0
_MOST_BYTES: Final = 32 << 20


async def ask_all(
    collectors: Sequence[Collector], call: str, question: msgspec.Struct, kind: type[T], tls: SSLContext | None
) -> tuple[list[T], list[str]]:
    """What those say that can be asked, and the names of the others. `call`: as in /flows/v1/ask. `tls` has whom to
    trust over https, instead of the system's. Raises BadRequest with the words of one that refuses.
    """
    told = await asyncio.gather(*(_asked(each, call, question, kind, tls) for each in collectors))
    missing = [each.name for each, one in zip(collectors, told, strict=True) if one is None]
    return [one for one in told if one is not None], missing


async def _asked(
    collector: Collector, call: str, question: msgspec.Struct, kind: type[T], tls: SSLContext | None
) -> T | None:
    headers = {"Authorization": f"Bearer {collector.key}", "Content-Type": "application/json"}
    body, timeout = msgspec.json.encode(question), aiohttp.ClientTimeout(total=_TIMEOUT_S)
    url = f"{collector.url.rstrip('/')}/flows/v1/{call}"
    try:
        # A redirect would take the key along.
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
            session.post(url, data=body, headers=headers, allow_redirects=False, ssl=tls or True) as response,
        ):
            said = await _limited(response)
            if response.status == 400:
                raise BadRequest(msgspec.json.decode(said, type=dict[str, str]).get("error", "refused"))
            if response.status != 200:
                raise ValueError(f"HTTP {response.status}")
            return msgspec.json.decode(said, type=kind)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        log.warning("collector_not_asked", collector=collector.name, reason=str(error) or type(error).__name__)
        return None


async def _limited(response: aiohttp.ClientResponse) -> bytes:
    said = bytearray()
    async for part in response.content.iter_any():
        said += part
        if len(said) > _MOST_BYTES:
            raise ValueError("the answer is too long")
    return bytes(said)
