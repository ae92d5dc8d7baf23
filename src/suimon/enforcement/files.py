"""Tables in files: `DIRECTORY/SOURCE/TABLE.csv` (or `.yaml`), looked at again and again. A complete file or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from suimon.enforcement.file_rows import table_of
from suimon.enforcement.gathering import Batch
from suimon.model.errors import BadRequest
from suimon.model.fact_tables import Reading, Unread
from suimon.resources.fact_tables import MOST_BYTES

_SUFFIXES: Final = frozenset({".csv", ".yaml", ".yml"})
_STALE_AFTER: Final = 3
"""Readings that are missed."""


class FilesConfig(msgspec.Struct, frozen=True):
    """A file that changed is read at the next look, when it has been left alone for `settle_s`: what is written slowly
    is best moved into place. One that didn't is read again after `again_s`, which is what its age counts from.
    """

    directory: str
    look_s: float = 2.0
    settle_s: float = 1.0
    again_s: float = 60.0


class _Seen(NamedTuple):
    """A file as it was read: size, time of change (ns) and inode; and when that was."""

    stamp: tuple[int, int, int]
    at_s: float


class Files:
    """A `gathering.Source`. A file that can't be read, or is gone, leaves its table as it was."""

    named: tuple[str, ...] = ()

    def __init__(self, config: FilesConfig, clock: Callable[[], float]) -> None:
        self._config = config
        self._clock = clock
        self._seen: dict[Path, _Seen] = {}

    async def read(self) -> Sequence[Batch]:
        """Those that changed, or were not read for long; each by itself."""
        return [[one] for one in await asyncio.to_thread(lambda: list(self._look()))]

    def pause_s(self) -> float:
        return self._config.look_s

    def _look(self) -> Iterator[Reading | Unread]:
        now_s = self._clock()
        there = {path: path for path in sorted(Path(self._config.directory).glob("*/*")) if path.suffix in _SUFFIXES}
        for path in [path for path in self._seen if path not in there]:
            del self._seen[path]
            yield _unread(path, "there is no such file any more")
        for path in there:
            if any(path.with_suffix(other) in there for other in _SUFFIXES if other < path.suffix):
                yield _unread(path, f"there is another file for it: {path.name} is not read")
            elif found := self._read(path, now_s):
                yield found

    def _read(self, path: Path, now_s: float) -> Reading | Unread | None:
        """None: there is nothing new to say."""
        try:
            stamp, changed_s = _stamp(path)
            seen = self._seen.get(path)
            if seen and seen.stamp == stamp and now_s - seen.at_s < self._config.again_s:
                return None
            if 0 <= now_s - changed_s < self._config.settle_s:
                return None
            if stamp[0] > MOST_BYTES:
                raise BadRequest(f"it has more than {MOST_BYTES} bytes")
            content = path.read_bytes()
            if _stamp(path)[0] != stamp:
                return None  # Somebody is writing it.
            self._seen[path] = _Seen(stamp, now_s)
            columns, rows = table_of(path.name, content)
        except OSError as error:
            return _unread(path, f"it can't be read ({error.strerror})")
        except BadRequest as error:
            return _unread(path, error.message)
        age_s = round(self._config.again_s * _STALE_AFTER)
        source, name = path.parent.name, path.stem
        return Reading(source=source, name=name, columns=columns, rows=rows, max_age_s=age_s, driver="file")


def _stamp(path: Path) -> tuple[tuple[int, int, int], float]:
    """And when it was changed, in seconds."""
    found = path.stat()
    return (found.st_size, found.st_mtime_ns, found.st_ino), found.st_mtime


def _unread(path: Path, words: str) -> Unread:
    return Unread(source=path.parent.name, name=path.stem, problem=f"{path.name}: {words}", driver="file")
