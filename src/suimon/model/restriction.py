"""What hosts are told of restrictions: an object of the view (`model.view`), where the others are."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

Direction = Literal["ingress", "egress"]
"""As Neutron means it: ingress is towards the guest, egress is what the guest sends."""
DIRECTIONS: Final[tuple[Direction, Direction]] = ("ingress", "egress")
EVERY_HOST: Final = "cloud:all"
"""The scope of what every host with ports has to know."""


class Restriction(msgspec.Struct, frozen=True, tag="restriction"):
    """What an operator, or a rule of his, takes from some ports for a while, whatever their groups and policies say.

    `target` is an id or an address, `host` where a port that is the target is bound; an address is that of whichever
    port of the project has it, and an outside one nobody here talks with. `direction` None means both. A rate of 0 is
    none; a `port_block` is of `protocol` (6 or 17) to the l4 ports `port_min`..`port_max`, but for an outside address,
    of which it is everything. `allowed` are the CIDRs that a quarantine leaves. It is over at `expires_s` (UTC; None:
    when the controller says so), whether or not anybody can be asked by then.
    """

    id: str
    kind: Literal["rate_limit", "packet_rate_limit", "port_block", "quarantine"]
    target_kind: Literal["port", "project", "network", "address", "outside_address"]
    target: str
    project_id: str = ""
    host: str = ""
    direction: Direction | None = None
    rate_kbps: int = 0
    rate_kpps: int = 0
    protocol: int = 0
    port_min: int = 0
    port_max: int = 0
    allowed: tuple[str, ...] = ()
    reason: str = ""
    expires_s: float | None = None

    @property
    def scope(self) -> str:
        match self.target_kind:
            case "port":
                return f"host:{self.host}"
            case "network":
                return f"network:{self.target}"
            case "outside_address":
                return EVERY_HOST
        return f"project:{self.project_id}"

    @property
    def directions(self) -> tuple[Direction, ...]:
        return (self.direction,) if self.direction else DIRECTIONS
