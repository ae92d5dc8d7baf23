"""The steps in their order, and the one loop that shows them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from suimon.lab.error import LabError
from suimon.lab.lab import Lab
from suimon.lab.tour import (
    deletion,
    gateways,
    groups,
    ipv6,
    limits,
    loop,
    moves,
    policy,
    restarts,
    routing,
    services,
    walk,
)
from suimon.lab.tour.guide import Guide

STEPS: Final[dict[int, tuple[str, Callable[[Guide], None]]]] = {
    1: ("Networks, ports and guests, on a tunnel and on a VLAN", walk.show),
    2: ("A router on every hypervisor, and a floating IP", routing.show),
    3: ("IPv6, while the guests run", ipv6.show),
    4: ("What guests ask their host: instance data and names", services.show),
    5: ("Security groups, guests that lie, and why a packet gets there or not", groups.show),
    6: ("A rate limit and a port block on one port", limits.show),
    7: ("A guest sends spam, another uses too much: found, restricted, released", loop.show),
    8: ("A policy forbids, repairs and asks", policy.show),
    9: ("A guest moves to another hypervisor", moves.show),
    10: ("Agents, the controller and a switch die", restarts.show),
    11: ("Out without a floating IP; the gateway host goes, and dies", gateways.show),
    12: ("Everything deleted: nothing is left on any bridge", deletion.show),
}


class Tour:
    """Shows a lab that is up. `say` gets a line at a time."""

    def __init__(self, lab: Lab, say: Callable[[str], None]) -> None:
        self._guide = Guide(lab, say)
        self._say = say

    def run(self) -> bool:
        """Every step up to the first that fails; whether none did."""
        with self._guide.cloud:
            return self._run()

    def _run(self) -> bool:
        begun = time.monotonic()
        for number, (title, show) in STEPS.items():
            self._say(f"\nStep {number} of {len(STEPS)}: {title}")
            step_begun = time.monotonic()
            try:
                show(self._guide)
            except LabError as error:
                self._say(f"  FAILED: {error}\n\nThe tour ends at step {number}.")
                return False
            self._say(f"  Step {number} took {time.monotonic() - step_begun:.0f} s.")
        self._say(f"\nThe tour held: {self._guide.checked} checks in {time.monotonic() - begun:.0f} s.")
        return True
