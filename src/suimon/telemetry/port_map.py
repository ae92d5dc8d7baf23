"""The controller as a collector asks it: join once, then which port is where. HTTP with JSON bodies."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import Any, Final, TypeVar

import aiohttp
import msgspec

from suimon.model.collectors import CollectorJoin, CollectorJoined, MapAnswer, MapRequest
from suimon.model.findings import Finding

T = TypeVar("T")
_TIMEOUT: Final = aiohttp.ClientTimeout(total=60, connect=5)
"""An answer about ports comes when something changed, or after 20 s."""


class Identity(msgspec.Struct, frozen=True):
    """What joining gave this collector, and the key that it gave to the controller."""

    name: str
    url: str
    credential: str
    key: str
    ca_file: str | None = None


class Controller:
    """Each question is a connection of its own: there is one at a time, and it waits most of the time."""

    def __init__(self, url: str, ca_file: str | None = None, credential: str = "") -> None:
        self._url, self._ca_file = url.rstrip("/"), ca_file
        self._headers = {"Authorization": f"Bearer {credential}"} if credential else {}

    async def join(self, wanted: CollectorJoin) -> CollectorJoined:
        """Trade the one-time token for a credential. Raises OSError, TimeoutError."""
        return await self._post("collectors", wanted, CollectorJoined)

    async def ports(self, asked: MapRequest) -> MapAnswer:
        """Raises OSError, TimeoutError."""
        return await self._post("ports", asked, MapAnswer)

    async def findings(self, found: Sequence[Finding]) -> None:
        """What detectors found. Raises OSError, TimeoutError."""
        await self._post("findings", found, dict[str, int])

    async def _post(self, call: str, body: object, kind: type[T]) -> T:
        tls: Any = ssl.create_default_context(cafile=self._ca_file) if self._ca_file else True
        url, headers = f"{self._url}/hosts/v1/{call}", {"Content-Type": "application/json", **self._headers}
        try:
            async with (
                aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(ssl=tls), timeout=_TIMEOUT, trust_env=False
                ) as session,
                session.post(url, data=msgspec.json.encode(body), headers=headers, allow_redirects=False) as response,
            ):
                said = await response.read()
                if response.status >= 300:
                    raise OSError(f"{url}: {_reason(said) or response.reason} (HTTP {response.status})")
                return msgspec.json.decode(said, type=kind)
        except (aiohttp.ClientError, msgspec.MsgspecError) as error:
            raise OSError(f"{url}: {str(error) or type(error).__name__}") from error


def _reason(said: bytes) -> str:
    try:
        return str(msgspec.json.decode(said[:4096], type=dict[str, Any]).get("error", ""))
    except msgspec.MsgspecError:
        return ""
