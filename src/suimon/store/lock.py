"""One process owns a SQLite store: a lock file next to it that the kernel lets go of when the process dies."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from suimon.store.errors import StoreError


class FileLock:
    """`acquire()` raises StoreError when another process holds it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take it, and write our process id into it for whoever wants to know."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                f"The lock file {self._path} can't be made ({error.strerror}): check that its directory exists and is "
                "ours."
            ) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise StoreError(
                f"The store is in use by process {holder or 'unknown'}, which holds {self._path}: stop it, or use "
                "another file."
            ) from None
        self._descriptor = descriptor
        os.ftruncate(descriptor, 0)
        with suppress(OSError):  # On a full disk it is locked all the same: the database says what is wrong.
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """The file stays: removing it would let two processes lock two files of the same name."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
