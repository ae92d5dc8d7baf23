"""A dump of a bridge's flows, read so that others get their turn, and cheaply when little changed since the last."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from suimon.dataplane.openflow.messages import Flows, decode_flow, entries, without_statistics
from suimon.model.owner import COOKIE_MARK
from suimon.pipeline.flow import Entry, FlowKey

_AT_ONCE: Final = 64
"""Flows decoded before whoever else waits (guests' packets above all) is served: about 2 ms."""
_SHORTEST: Final = 32
_MARK_AT: Final = 16
"""The first byte of the cookie in an entry (OpenFlow 1.5, ofp_flow_desc)."""


class FlowDump:
    """Decodes the dumps of one bridge. A flow whose bytes were in the last dump, too, isn't decoded again."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[FlowKey, Entry]] = {}

    async def decoded(self, parts: Sequence[bytes]) -> Flows:
        """From the bodies of a complete reply to DUMP_FLOWS. Raises ValueError, struct.error for what is none."""
        known: dict[bytes, tuple[FlowKey, Entry]] = {}
        foreign, example, fresh = 0, "", 0
        for number, entry in enumerate(entries(parts)):
            if number % (_AT_ONCE * 8) == 0 or fresh >= _AT_ONCE:
                fresh = 0
                await asyncio.sleep(0)
            if len(entry) < _SHORTEST:
                raise ValueError(f"a flow of {len(entry)} bytes")
            if entry[_MARK_AT] != COOKIE_MARK:
                foreign += 1
                example = example or f"table {entry[4]}, cookie {int.from_bytes(entry[16:24]):#x}"
                continue
            image = without_statistics(entry)
            flow = self._known.get(image)
            if flow is None:
                flow, fresh = decode_flow(entry), fresh + 1
            known[image] = flow
        self._known = known
        return Flows(dict(known.values()), foreign, example)
