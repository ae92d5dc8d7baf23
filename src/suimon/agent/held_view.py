"""The view that this host holds, and the guard that keeps it from vanishing. Nothing here does I/O.

`View` is a value; `changes` says what a frame would do to it, `objection` whether it may, and `Guard` holds what may
not until an operator accepts it or the controller thinks better of it.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from suimon.model.view import Delta, Key, Object, Position, Snapshot, key

GUARDED_SHARE: Final = 0.05
"""A snapshot may delete this share of what a host holds …"""
GUARDED_COUNT: Final = 20
"""… or fewer things than this, without being asked about (decision 3)."""


class View(msgspec.Struct, frozen=True):
    """Everything the host was told, by key, and the position that it stands for (None: nothing yet)."""

    position: Position | None = None
    objects: Mapping[Key, Object] = {}

    def after(self, changes: "Changes") -> "View":
        gone = set(changes.deleted)
        kept = {each: thing for each, thing in self.objects.items() if each not in gone}
        return View(changes.position, kept | {key(thing): thing for thing in changes.changed})


class Changes(msgspec.Struct, frozen=True):
    """What turns one view into the next: these keys go, these objects are new or differ."""

    position: Position
    deleted: tuple[Key, ...]
    changed: tuple[Object, ...]


def changes(view: View, frame: Snapshot | Delta) -> Changes:
    """What `frame` does to `view`; things that stay as they are don't appear."""
    told = {key(thing): thing for thing in frame.objects}
    match frame:
        case Snapshot():
            gone = set(view.objects)
        case Delta():
            gone = {(kind, name) for kind, name in frame.deleted} & view.objects.keys()
            if dropped := set(frame.dropped):
                gone |= {each for each, thing in view.objects.items() if thing.scope in dropped}
    changed = tuple(thing for each, thing in told.items() if view.objects.get(each) != thing)
    return Changes(frame.position, tuple(sorted(gone - told.keys())), changed)


def objection(view: View, frame: Snapshot | Delta, result: Changes) -> str:
    """Why `frame` must not be applied without an operator's word, in words for people; empty if it may.

    A delta is what the change log says, so it may delete whatever it deletes; but it must continue the view we hold. A
    snapshot of a new epoch follows no log of ours: what it lacks may have been lost with the store, not deleted.
    """
    held = view.position
    if isinstance(frame, Snapshot) and frame.accepted:
        return ""
    if held is None:
        return "a delta without a snapshot before it" if isinstance(frame, Delta) else ""
    if strange := _other_line(held, frame):
        return strange
    count, total = len(result.deleted), len(view.objects)
    if isinstance(frame, Snapshot) and frame.position.epoch != held.epoch and count:
        return f"it is of a restored store, and would delete {count} of the {total} objects that this host holds"
    if isinstance(frame, Snapshot) and count >= GUARDED_COUNT and count > total * GUARDED_SHARE:
        return f"it would delete {count} of the {total} objects that this host holds"
    return ""


class Guard:
    """The view in force, and the one that waits for an operator's word."""

    def __init__(self, view: View) -> None:
        self._objects = dict(view.objects)
        self.view = View(view.position, self._objects)
        self.held = ""
        """Why the controller's view is not in force; empty when it is."""
        self._candidate: View | None = None

    def connected(self) -> None:
        """A new stream continues the view in force, so whatever waits is no longer what the controller says."""
        self._candidate = None

    def alive(self) -> None:
        """The controller has nothing new for the view in force."""
        if self._candidate is None:
            self.held = ""

    def take(self, frame: Snapshot | Delta) -> Changes | None:
        """What to change now that `frame` came; None while it is held. A delta to a held snapshot is held with it."""
        if self._candidate is not None and isinstance(frame, Delta):
            self._candidate = self._candidate.after(changes(self._candidate, frame))
            return None
        result = changes(self.view, frame)
        self.held = objection(self.view, frame, result)
        if self.held:
            self._candidate = self.view.after(result)
            return None
        self._candidate = None
        # In place: a copy would make each delta cost by what the host holds.
        for gone in result.deleted:
            del self._objects[gone]
        self._objects.update((key(thing), thing) for thing in result.changed)
        self.view = View(result.position, self._objects)
        return result

    def accept(self) -> Changes | None:
        """The operator says that what is held is right; None if nothing is held."""
        candidate = self._candidate
        if candidate is None or candidate.position is None:
            return None
        result = changes(self.view, Snapshot(candidate.position, tuple(candidate.objects.values())))
        self._objects = dict(candidate.objects)
        self.view, self.held, self._candidate = View(candidate.position, self._objects), "", None
        return result


def _other_line(held: Position, frame: Snapshot | Delta) -> str:
    """How `frame` fails to continue the history that `held` is a point of; empty if it does."""
    told = frame.position
    if told.store != held.store:
        return f"it comes from another store ({told.store}, this host holds {held.store})"
    if told.epoch < held.epoch:
        return f"it comes from an older epoch ({told.epoch}, this host holds {held.epoch})"
    if isinstance(frame, Delta) and told.epoch != held.epoch:
        return f"a delta of epoch {told.epoch} does not continue epoch {held.epoch}"
    if told.epoch == held.epoch and told.revision < held.revision:
        return f"it is older (revision {told.revision}) than what this host holds (revision {held.revision})"
    return ""
