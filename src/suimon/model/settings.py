"""What acts have to know about the installation: segment ranges, physical networks, MTU."""

from typing import Final

import msgspec

Ranges = tuple[tuple[int, int], ...]
"""Inclusive ranges of segment ids, tried in order."""
LAST_SEGMENT: Final = {"vlan": 4094, "vxlan": (1 << 24) - 1, "gre": (1 << 32) - 1, "geneve": (1 << 24) - 1}
"""By network type, the largest number that its frames can carry (802.1Q, RFC 7348, RFC 2890, RFC 8926)."""


RUNBOOKS: Final = "docs/guide/runbooks.md"


class Settings(msgspec.Struct, frozen=True):
    """One per controller, the same on all of them.

    `vlans` maps a physical network to the VLAN ids that Suimon may choose there; `flat` names the physical networks
    that may carry an untagged network. An admin may name any physical network that is in one of them or that a host
    told of. `quotas` are the limits of projects that have none of their own, by name, where they aren't
    `specs.quotas.DEFAULTS`.
    """

    vnis: Ranges = ((1, 16_777_215),)
    gre_keys: Ranges = ((1, 16_777_215),)
    geneve_vnis: Ranges = ((1, 16_777_215),)
    vlans: dict[str, Ranges] = {}
    flat: tuple[str, ...] = ()
    underlay_mtu: int = 1500
    tenant_network_type: str = "vxlan"
    mac_prefix: str = "fa:16:3e"
    quotas: dict[str, int] = {}
    dns_domain: str = "openstacklocal."
    availability_zone: str = "nova"
    appeal: str = ""
    """What a tenant reads of a restriction that binds him: whom to turn to."""
    quarantine_allows: tuple[str, ...] = ()
    """Addresses and CIDRs that a port in quarantine may still talk to: the operator's."""

    runbooks_url: str = RUNBOOKS
    """Where the runbooks are, which findings and alarms link; unless it is said, their path in the repository."""

    @property
    def tunnels(self) -> dict[str, Ranges]:
        """By kind of tunnel, the numbers that Suimon may choose."""
        return {"vxlan": self.vnis, "gre": self.gre_keys, "geneve": self.geneve_vnis}
