"""The templates that a collector has learned, on disk: exporters repeat them rarely, and it may die at any moment."""

import asyncio
import os
from pathlib import Path
from typing import Final, Never

import structlog

from suimon.telemetry.flow.collector import Collector
from suimon.telemetry.flow.templates import DecodeError

_EVERY_S: Final = 5.0
_LOG = structlog.get_logger()


class TemplateFile:
    """`run` writes what changed, at most every few seconds; a disk that is full costs only the next start."""

    def __init__(self, path: Path, collector: Collector) -> None:
        self._path, self._collector = path, collector

    def restore(self) -> None:
        """What isn't there, or is no templates, is learned anew."""
        try:
            self._collector.restore(self._path.read_bytes())
        except FileNotFoundError:
            return
        except (OSError, DecodeError) as error:
            _LOG.warning("templates_not_restored", path=str(self._path), why=str(error))

    def save(self) -> None:
        """If anything changed; either the old file is there or the new one, whole."""
        if not self._collector.templates_changed:
            return
        unfinished = self._path.with_suffix(".new")
        try:
            with unfinished.open("wb") as file:
                file.write(self._collector.templates())
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self._path)
        except OSError as error:
            self._collector.templates_changed = True
            _LOG.warning("templates_not_kept", path=str(self._path), why=str(error))

    async def run(self) -> Never:
        while True:
            await asyncio.sleep(_EVERY_S)
            self.save()
