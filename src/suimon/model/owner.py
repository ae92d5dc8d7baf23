"""Owners: what a flow, group, meter or device on a host belongs to, and the mark that says so."""

from functools import cached_property
from hashlib import blake2b
from typing import Final

import msgspec

COOKIE_MARK: Final = 0x5A
"""The top byte of every cookie of ours; a flow without it is not ours and is never touched."""


class Owner(msgspec.Struct, frozen=True, order=True, dict=True):
    """The unit of work: recomputed whole, and named by the cookie of everything it owns.

    `kind` is one of `bridge network port peer leg router floating_ip group_set group address mac local_ip neighbour
    vtep flood`; `id` is the resource's id, or what tells the others apart (an address, a bridge name, a part).
    """

    kind: str
    id: str

    @cached_property
    def cookie(self) -> int:
        """64 bits: our mark, then 56 bits that name the owner (never a revision: that would touch every flow)."""
        return COOKIE_MARK << 56 | int.from_bytes(blake2b(f"{self.kind}/{self.id}".encode(), digest_size=7).digest())

    def __str__(self) -> str:
        return f"{self.kind}/{self.id}"
