"""What the API acknowledged, to be compared with what is there in the end: no acknowledged write may be lost."""

from __future__ import annotations

from collections.abc import Mapping

Thing = tuple[str, str]
"""A kind and an id."""


class Ledger:
    """`lost` are sentences about what `compare` missed. Of what was asked for and not answered, nothing is known."""

    def __init__(self) -> None:
        self.lost: list[str] = []
        self._there: dict[Thing, dict[str, str]] = {}
        self._gone: set[Thing] = set()

    def made(self, thing: Thing, attributes: Mapping[str, str]) -> None:
        """Or changed to these."""
        self._there[thing] = {**self._there.get(thing, {}), **attributes}

    def deleting(self, thing: Thing) -> None:
        self._there.pop(thing, None)

    def deleted(self, thing: Thing) -> None:
        self._gone.add(thing)

    def compare(self, found: Mapping[Thing, Mapping[str, str]]) -> None:
        """With all that is there, and its attributes, of those that were told."""
        for thing, attributes in self._there.items():
            kind, id_ = thing
            if thing not in found:
                self.lost.append(f"{kind} {id_} was acknowledged and isn't there")
            elif found[thing] | attributes != found[thing]:
                self.lost.append(f"{kind} {id_} was acknowledged with {attributes} and has {found[thing]}")
        for kind, id_ in self._gone & found.keys():
            self.lost.append(f"{kind} {id_} is there though its deletion was acknowledged")
