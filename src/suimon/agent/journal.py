"""A thing on disk as a file of records: the first says all there was, each of the others what changed then.

A change costs one small write. From time to time the file is written anew, atomically: when the changes outgrow what
they may have and the whole itself, and first of all in each life.
"""

from collections.abc import Callable, Iterable, Iterator
from io import FileIO
from pathlib import Path
from typing import Final, Generic, TypeVar

import structlog

from suimon.agent.saved import keep_aside, read_record, record, replace_file

log = structlog.get_logger()

MOST_BYTES: Final = 1 << 20

_T = TypeVar("_T")


class Journal(Generic[_T]):
    """At `path`. `fold` makes the thing of the records' bodies, and raises ValueError for what can't be true."""

    def __init__(self, path: Path, fold: Callable[[Iterator[bytes]], _T], most_bytes: int = MOST_BYTES) -> None:
        self._path = path
        self._fold = fold
        self._most_bytes = most_bytes
        self._whole_bytes = 0
        self._bytes = 0
        self._file: FileIO | None = None
        """Open while the file is as we left it: to open it for each change costs more than the write."""

    def load(self) -> _T | None:
        """The thing as it was last; None when there is none, or none to be trusted (that is then kept aside)."""
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            return self._fold(self._bodies(raw))
        except ValueError as error:  # msgspec's errors are ValueErrors too.
            keep_aside(self._path, str(error))
            return None

    def write(self, changes: Iterable[bytes], whole: Callable[[], bytes], *, durable: bool) -> None:
        """Keep `changes`, which led to `whole()`. Raises OSError; the next call then writes the whole.

        Only the whole can be `durable` (`replace_file`): a power cut may take the changes since.
        """
        entry = b"".join(map(record, changes))
        if self._file is None or self._bytes + len(entry) > max(self._most_bytes, 2 * self._whole_bytes):
            self._replace(record(whole()), durable)
        else:
            self._append(entry)

    def _append(self, entry: bytes) -> None:
        assert self._file is not None, "a sound file is open"
        file, self._file, left = self._file, None, memoryview(entry)
        while left:
            left = left[file.write(left) :]
        self._file = file
        self._bytes += len(entry)

    def _replace(self, whole: bytes, durable: bool) -> None:
        self._file = None
        replace_file(self._path, whole, durable=durable)
        self._file = FileIO(self._path, "ab")
        self._whole_bytes = self._bytes = len(whole)

    def _bodies(self, raw: bytes) -> Iterator[bytes]:
        at = 0
        while at < len(raw):
            body, after = read_record(raw, at)
            if body is None:
                if at == 0:
                    raise ValueError("the file is cut off")
                # Killed while writing: the flows that follow from it were not in yet.
                log.warning("tail_dropped", file=str(self._path), bytes=len(raw) - at)
                return
            at = after
            yield body
