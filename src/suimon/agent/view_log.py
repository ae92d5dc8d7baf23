"""The view on disk: a file of changes, the first of which makes the whole view out of nothing.

A change is written before its flows are, so that a killed agent comes back with a view at least as new as the switch
and takes nothing away; a change costs one small write. From time to time the file is written anew, atomically. Only
that waits for the disk: what a power cut can take besides is the tail, and the controller tells that again.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import structlog

from suimon.agent.held_view import Changes, View
from suimon.agent.newer import decoded
from suimon.agent.saved import keep_aside, read_record, record, replace_file
from suimon.model.view import Key, Object, key

log = structlog.get_logger()

_CHANGES: Final = msgspec.json.Decoder(Changes)


class ViewLog:
    """The view at `path`, written anew when the changes outgrow `most_bytes` and the view itself."""

    def __init__(self, path: Path, most_bytes: int = 1 << 20) -> None:
        self._path = path
        self._most_bytes = most_bytes
        self._whole_bytes = 0
        self._bytes = 0
        self._sound = False

    def load(self) -> View:
        """The last view; an empty one when there is none, or none to be trusted (that is then kept aside)."""
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return View()
        try:
            view = _folded(raw)
        except ValueError as error:  # msgspec's errors are ValueErrors too.
            keep_aside(self._path, str(error))
            return View()
        log.info("view_loaded", objects=len(view.objects), position=str(view.position))
        return view

    def write(self, changes: Sequence[Changes], view: View) -> None:
        """Keep `changes`, which led to `view`. Raises OSError; the next call then writes the view whole."""
        entry = b"".join(record(msgspec.json.encode(each)) for each in changes)
        if not self._sound or self._bytes + len(entry) > max(self._most_bytes, 2 * self._whole_bytes):
            self._replace(view)
            return
        self._sound = False
        with self._path.open("ab") as file:
            file.write(entry)
        self._sound = True
        self._bytes += len(entry)

    def _replace(self, view: View) -> None:
        assert view.position is not None, "a view that changed has a position"
        self._sound = False
        whole = record(msgspec.json.encode(Changes(view.position, (), tuple(view.objects.values()))))
        replace_file(self._path, whole, durable=True)
        self._whole_bytes = self._bytes = len(whole)
        self._sound = True


def _folded(raw: bytes) -> View:
    position, objects, at = None, dict[Key, Object](), 0
    while at < len(raw):
        body, after = read_record(raw, at)
        if body is None:
            if at == 0:
                raise ValueError("the file is cut off")
            log.warning("view_tail_dropped", bytes=len(raw) - at)  # Killed while writing: its flows were not in yet.
            break
        change, at = decoded(_CHANGES, body, "changed"), after
        for gone in change.deleted:
            objects.pop(gone, None)
        objects.update((key(thing), thing) for thing in change.changed)
        position = change.position
    return View(position, objects)
