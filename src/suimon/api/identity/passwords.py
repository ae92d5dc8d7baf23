"""Passwords: hashed and checked with scrypt (RFC 7914), off the event loop, never more than a few at once.

A hash takes about 80 ms and 32 MiB by design, so that guessing is dear; two at a time bound what guessing costs *us*.
A hash carries its cost, `scrypt$<log2 n>$<r>$<p>$<salt>$<key>`: the cost can rise while old passwords stay valid.
"""

import asyncio
import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import msgspec

from suimon.model.errors import Unavailable

T = TypeVar("T")

NO_PASSWORD: Final = "!"  # noqa: S105 (it stands for none)
"""The hash of a user who has no password: nothing hashes to it."""
_SALT_BYTES: Final = 16
_MEMORY_LIMIT_BYTES: Final = 256 << 20


class Config(msgspec.Struct, frozen=True):
    """`workers` hashes at once, `waiting` more in line; whoever comes after is told to try again."""

    log2_n: int = 15
    r: int = 8
    p: int = 1
    workers: int = 2
    waiting: int = 64


class Passwords:
    """Hashes and checks passwords in threads of its own (hashlib.scrypt releases the GIL)."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._pool = ThreadPoolExecutor(config.workers, thread_name_prefix="scrypt")
        self._busy = 0
        self._nobody = f"scrypt${config.log2_n}${config.r}${config.p}$AAAA$AAAA"

    async def hash(self, password: str) -> str:
        """A new hash. Raises Unavailable when too many wait already."""
        return await self._run(hashed, password, self._config)

    async def check(self, password: str, stored: str | None) -> bool:
        """Whether the password is the one that was hashed. None (no such user) takes as long, and is False."""
        usable = stored if stored != NO_PASSWORD else None
        matches = await self._run(_matches, password, usable or self._nobody)
        return matches and usable is not None

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[..., T], *arguments: object) -> T:
        if self._busy >= self._config.workers + self._config.waiting:
            raise Unavailable("Too many passwords are being checked; try again in a moment.")
        self._busy += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)
        finally:
            self._busy -= 1


def hashed(password: str, config: Config) -> str:
    """A salted hash that says its own cost."""
    salt = secrets.token_bytes(_SALT_BYTES)
    key = _scrypt(password, salt, config)
    return f"scrypt${config.log2_n}${config.r}${config.p}${b64encode(salt).decode()}${b64encode(key).decode()}"


def _matches(password: str, stored: str) -> bool:
    _, log2_n, r, p, salt, key = stored.split("$")
    cost = Config(int(log2_n), int(r), int(p))
    return hmac.compare_digest(_scrypt(password, b64decode(salt), cost), b64decode(key))


def _scrypt(password: str, salt: bytes, cost: Config) -> bytes:
    return hashlib.scrypt(
        password.encode(), salt=salt, n=1 << cost.log2_n, r=cost.r, p=cost.p, maxmem=_MEMORY_LIMIT_BYTES, dklen=32
    )
