"""What the agent keeps on disk between its lives.

A record is a line that names format, length and SHA-256 of what follows, then JSON and a newline. Files are replaced
atomically: a reader sees the old file or the new one. What can't be trusted is put aside and never used.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import msgspec
import structlog

from suimon.model.view import Drift

log = structlog.get_logger()

FORMAT: Final = 1

_T = TypeVar("_T")


class StateError(Exception):
    """The state directory can't be used; the message says what to do."""


class KnownNeighbour(msgspec.Struct, frozen=True):
    """A next hop on an external network that answered ARP."""

    network_id: str
    ip: str
    mac: str


class KnownGateway(msgspec.Struct, frozen=True):
    """Another gateway host that was away (`lost`), or what it `said` last if that was not that it serves. `well_since`
    is when a lost one answered again, by a clock that begins anew with each boot (CLOCK_MONOTONIC); `refused` is for
    what it did not serve. This host itself stands under "", with what it refused.
    """

    vtep: str
    said: str
    lost: bool
    well_since: float | None = None
    refused: tuple[str, ...] = ()


class Happened(msgspec.Struct, frozen=True):
    """What the controller is still to be told; `at_s` is when it was, by the clock on the wall (seconds since 1970)."""

    at_s: float
    drift: Drift


class HostIdentity(msgspec.Struct, frozen=True):
    """What joining gave this host, and how it said it is attached."""

    host: str
    url: str
    credential: str
    store: str
    tunnel_ip: str | None
    physnets: tuple[str, ...] = ()
    ca_file: str | None = None


class SavedFile(Generic[_T]):
    """One value of type `shape` on disk."""

    def __init__(self, path: Path, shape: type[_T]) -> None:
        self.path = path
        self._decoder = msgspec.json.Decoder(shape)

    def load(self) -> _T | None:
        """The value that was saved last; None if there is none, or none to be trusted (that is then kept aside)."""
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            body, after = read_record(raw, 0)
            if body is None or after != len(raw):
                raise ValueError("its length is wrong")
            return self._decoder.decode(body)
        except ValueError as error:  # msgspec's errors are ValueErrors too.
            keep_aside(self.path, str(error))
            return None

    def save(self, value: _T, *, durable: bool) -> None:
        """Replace the file. `durable` waits until the disk has it, which only a power cut can tell from not waiting."""
        replace_file(self.path, record(msgspec.json.encode(value)), durable=durable)


class StateDirectory:
    """The agent's directory, of one agent at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.host = SavedFile(path / "host.json", HostIdentity)
        self.view = path / "view.json"
        self.numbers = path / "numbers.json"
        self.neighbours = SavedFile(path / "neighbours.json", tuple[KnownNeighbour, ...])
        self.gateways = SavedFile(path / "gateways.json", tuple[KnownGateway, ...])
        self.untold = SavedFile(path / "untold.json", tuple[Happened, ...])
        self.control_socket = path / "control.sock"

    def make(self) -> None:
        """Create the directory for root alone: it holds the credential."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StateError(f"can't create the state directory {self.path}: {error.strerror}") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory while this process lives and is in here; refuses (StateError) while another does."""
        self.make()
        try:
            lock = (self.path / "lock").open("a")
        except OSError as error:
            raise StateError(f"can't use the state directory {self.path}: {error.strerror}") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StateError(f"another agent runs with the state directory {self.path}; stop it first") from error
            yield


def record(body: bytes) -> bytes:
    """`body` with its head."""
    head = {"format": FORMAT, "bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    return msgspec.json.encode(head) + b"\n" + body + b"\n"


def read_record(raw: bytes, at: int) -> tuple[bytes | None, int]:
    """The body of the record at `at` and where the next one starts; None for one that is cut off by the end.

    Raises ValueError for anything that `record` can't have written.
    """
    end = raw.find(b"\n", at)
    if end < 0:
        return None, len(raw)
    head: Any = msgspec.json.decode(raw[at:end])
    if not isinstance(head, dict) or head.get("format") != FORMAT or not isinstance(head.get("bytes"), int):
        raise ValueError(f"not a record of format {FORMAT}")
    start, after = end + 1, end + 1 + head["bytes"] + 1
    if after > len(raw):
        return None, len(raw)
    body = raw[start : after - 1]
    if raw[after - 1 : after] != b"\n" or head.get("sha256") != hashlib.sha256(body).hexdigest():
        raise ValueError("a checksum is wrong")
    return body, after


def replace_file(path: Path, content: bytes, *, durable: bool) -> None:
    """Atomically; the file is readable for its owner alone."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    with fresh.open("wb") as file:
        file.write(content)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    fresh.replace(path)


def keep_aside(path: Path, reason: str) -> None:
    """Take a file that can't be trusted out of the way, for a person to look at."""
    aside = path.with_name(f"{path.name}.corrupt")
    path.replace(aside)
    log.error("saved_state_refused", file=str(path), kept_as=str(aside), reason=reason)
