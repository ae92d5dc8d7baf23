"""The view on disk: a journal of changes, the first of which makes the whole view out of nothing.

A change is written before its flows are, so that a killed agent comes back with a view at least as new as the switch
and takes nothing away. Only a file that is written anew waits for the disk: what a power cut can take besides is the
tail, and the controller tells that again.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import structlog

from suimon.agent.held_view import Changes, View
from suimon.agent.journal import MOST_BYTES, Journal
from suimon.agent.newer import decoded
from suimon.model.view import Key, Object, key

log = structlog.get_logger()

_CHANGES: Final = msgspec.json.Decoder(Changes)


class ViewLog:
    """The view at `path`, written anew when the changes outgrow `most_bytes` and the view itself."""

    def __init__(self, path: Path, most_bytes: int = MOST_BYTES) -> None:
        self._journal = Journal(path, _folded, most_bytes)

    def load(self) -> View:
        """The last view; an empty one when there is none, or none to be trusted (that is then kept aside)."""
        view = self._journal.load()
        if view is None:
            return View()
        log.info("view_loaded", objects=len(view.objects), position=str(view.position))
        return view

    def write(self, changes: Sequence[Changes], view: View) -> None:
        """Keep `changes`, which led to `view`. Raises OSError; the next call then writes the view whole."""
        self._journal.write(map(msgspec.json.encode, changes), lambda: _whole(view), durable=True)


def _whole(view: View) -> bytes:
    assert view.position is not None, "a view that changed has a position"
    return msgspec.json.encode(Changes(view.position, (), tuple(view.objects.values())))


def _folded(bodies: Iterator[bytes]) -> View:
    position, objects = None, dict[Key, Object]()
    for body in bodies:
        change = decoded(_CHANGES, body, "changed")
        for gone in change.deleted:
            objects.pop(gone, None)
        objects.update((key(thing), thing) for thing in change.changed)
        position = change.position
    return View(position, objects)
