"""The controller as a host sees it: join once, watch the view, report. HTTP with JSON bodies (model/view.py).

Proxies of the environment are not used: the way to the controller is the management network's.
"""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from suimon.agent.newer import decoded
from suimon.model.questions import Traced
from suimon.model.view import Frame, Join, Joined, Report, Watch

_FRAME: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(Frame)


class ControllerError(Exception):
    """The controller did not do what we asked; the message says what we asked and what came back."""


class Unreachable(ControllerError):
    """Nobody listens there: who asks again soon is no burden to anybody."""


class Config(msgspec.Struct, frozen=True):
    """Where the controller's listener for hosts is, and how long to wait for it."""

    url: str
    ca_file: str | None = None
    connect_timeout_s: float = 5.0
    answer_timeout_s: float = 10.0
    ping_s: float = 5.0
    """How often the controller says that the line is alive."""
    missed_pings: int = 3
    max_frame_bytes: int = 256 << 20


class Controller:
    """One connection pool to the controller; `open()` before use, `close()` after."""

    def __init__(self, config: Config, credential: str = "") -> None:
        self.config = config
        self._headers = {"Authorization": f"Bearer {credential}"} if credential else {}
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        tls = ssl.create_default_context(cafile=self.config.ca_file) if self.config.ca_file else True
        connector = aiohttp.TCPConnector(ssl=tls, limit=8)
        self._session = aiohttp.ClientSession(connector=connector, headers=self._headers, trust_env=False)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def join(self, wanted: Join) -> Joined:
        """Trade the one-time token for this host's credential."""
        timeout = aiohttp.ClientTimeout(total=self.config.answer_timeout_s)
        try:
            async with self._post("join", wanted, timeout) as response:
                await _check(response, "join")
                return msgspec.json.decode(await response.read(), type=Joined)
        except (aiohttp.ClientError, TimeoutError, msgspec.ValidationError, msgspec.DecodeError) as error:
            raise ControllerError(f"join {self.config.url}: {_words(error)}") from error

    async def report(self, report: Report) -> None:
        await self._tell("report", report)

    async def answer(self, traced: Traced) -> None:
        await self._tell("answer", traced)

    async def watch(self, watch: Watch) -> AsyncIterator[Frame]:
        """The frames that follow `watch.position`, until the line breaks or falls silent (ControllerError)."""
        silence_s = self.config.ping_s * self.config.missed_pings
        timeout = aiohttp.ClientTimeout(connect=self.config.connect_timeout_s, sock_read=silence_s)
        try:
            async with self._post("watch", watch, timeout) as response:
                await _check(response, "watch")
                lines = _Lines(self.config.max_frame_bytes)
                while chunk := await response.content.readany():
                    for line in lines.complete(chunk):
                        yield decoded(_FRAME, line, "objects")
        except aiohttp.ClientConnectorError as error:
            raise Unreachable(f"watch {self.config.url}: {_words(error)}") from error
        except (aiohttp.ClientError, TimeoutError, msgspec.ValidationError, msgspec.DecodeError) as error:
            raise ControllerError(f"watch {self.config.url}: {_words(error)}") from error

    async def _tell(self, call: str, body: Report | Traced) -> None:
        timeout = aiohttp.ClientTimeout(total=self.config.answer_timeout_s)
        try:
            async with self._post(call, body, timeout) as response:
                await _check(response, call)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ControllerError(f"{call} to {self.config.url}: {_words(error)}") from error

    def _post(self, act: str, body: msgspec.Struct, timeout: aiohttp.ClientTimeout) -> Any:
        assert self._session is not None, "open() comes first"
        url = f"{self.config.url.rstrip('/')}/hosts/v1/{act}"
        headers = {"Content-Type": "application/json"}
        encoded = msgspec.json.encode(body)
        return self._session.post(url, data=encoded, headers=headers, timeout=timeout, allow_redirects=False)


def load_ca(ca_file: str | None) -> None:
    """Fail early, in one sentence, on a CA file that can't be used."""
    if ca_file is None:
        return
    try:
        ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ControllerError(f"can't use the CA file {Path(ca_file)}: {error}") from error


async def _check(response: aiohttp.ClientResponse, act: str) -> None:
    """4xx and 5xx carry {"error": "…"}, of which at most 4 kB are read. A redirect would take our credential along."""
    if response.status < 300:
        return
    body = await response.content.read(4096)
    try:
        said = msgspec.json.decode(body, type=dict[str, Any]).get("error", "")
    except (msgspec.ValidationError, msgspec.DecodeError):
        said = ""
    raise ControllerError(f"the controller refused to let us {act}: {said or response.reason} (HTTP {response.status})")


class _Lines:
    """Lines of any length up to `limit` (the stream's own `readline` gives up at 128 kB)."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0

    def complete(self, chunk: bytes) -> list[bytes]:
        """The lines that end in `chunk`, which continues what came before."""
        *whole, rest = chunk.split(b"\n")
        if whole:
            whole[0] = b"".join([*self._pieces, whole[0]])
            self._pieces, self._size = [], 0
        self._pieces.append(rest)
        self._size += len(rest)
        if self._size > self._limit:
            raise ControllerError(f"a frame is longer than {self._limit} bytes")
        return whole


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
