"""What the command line says of the network: where segments come from, what projects may have, names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from suimon.model import dns_names
from suimon.model.checks import Unfit
from suimon.model.settings import LAST_SEGMENT, Ranges, Settings
from suimon.model.specs.quotas import DEFAULTS


class SettingsError(Exception):
    """An option makes no sense. The message is one sentence for the operator."""


def network_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that `network_settings` reads."""
    for option in reversed(
        (
            click.option("--physnets", default="", help="Physical networks, as in public,physnet1."),
            click.option("--vlan-ranges", default="", help="VLANs to choose from, as in phys1:100-199,phys1:300."),
            click.option("--vni-ranges", default="", help="VXLAN ids to choose from, as in 1000-1999,5000."),
            click.option("--gre-ranges", default="", help="Keys of GRE networks, likewise."),
            click.option("--geneve-ranges", default="", help="Geneve ids, likewise."),
            click.option(
                "--tenant-network-type",
                type=click.Choice(["vxlan", "gre", "geneve", "vlan"]),
                default="vxlan",
                show_default=True,
                help="What a network is when nobody says.",
            ),
            click.option(
                "--underlay-mtu",
                type=click.IntRange(576, 65535),
                default=1500,
                show_default=True,
                help="The largest IP packet between hosts: tunnels get what they leave of it.",
            ),
            click.option("--quotas", default="", help="What a project may have, as in port=2000,network=-1 (any)."),
            click.option("--dns-domain", default="openstacklocal.", show_default=True, help="Domain of ports' names."),
        )
    ):
        command = option(command)
    return command


def network_settings(options: Mapping[str, Any]) -> Settings:
    """Raises SettingsError."""
    names = [name.strip() for name in options["physnets"].split(",") if name.strip()]
    vlans: dict[str, Ranges] = dict.fromkeys(names, ())
    for part in filter(None, options["vlan_ranges"].split(",")):
        name, _, numbers = part.strip().rpartition(":")
        if name not in vlans:
            raise SettingsError(
                f"--vlan-ranges speaks of the physical network {name!r}, which --physnets doesn't name."
            )
        vlans[name] += (_range(numbers, LAST_SEGMENT["vlan"], "--vlan-ranges"),)
    default = Settings()
    return Settings(
        vlans=vlans,
        flat=tuple(names),
        vnis=_ranges(options, "vni_ranges", "vxlan") or default.vnis,
        gre_keys=_ranges(options, "gre_ranges", "gre") or default.gre_keys,
        geneve_vnis=_ranges(options, "geneve_ranges", "geneve") or default.geneve_vnis,
        tenant_network_type=options["tenant_network_type"],
        underlay_mtu=options["underlay_mtu"],
        quotas=_quotas(options["quotas"]),
        dns_domain=_domain(options["dns_domain"]),
    )


def _quotas(text: str) -> dict[str, int]:
    quotas = {}
    for part in filter(None, text.split(",")):
        name, _, limit = part.strip().partition("=")
        if name not in DEFAULTS:
            raise SettingsError(f"--quotas knows no {name!r}; it knows {', '.join(sorted(DEFAULTS))}.")
        if not limit.removeprefix("-").isdecimal() or not -1 <= int(limit) < 1 << 31:
            raise SettingsError(f"--quotas {part.strip()!r}: the limit is a number, -1 for none.")
        quotas[name] = int(limit)
    return quotas


def _domain(text: str) -> str:
    """Ends with a dot."""
    try:
        return str(dns_names.domain(f"{text.rstrip('.')}."))
    except Unfit as unfit:
        raise SettingsError(f"--dns-domain is not a domain name: {unfit}.") from None


def _ranges(options: Mapping[str, Any], name: str, kind: str) -> Ranges:
    option, most = f"--{name.replace('_', '-')}", LAST_SEGMENT[kind]
    return tuple(_range(part, most, option) for part in options[name].split(",") if part)


def _range(text: str, most: int, option: str) -> tuple[int, int]:
    first, _, last = text.strip().partition("-")
    last = last or first
    if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last) <= most):
        raise SettingsError(f"{option} {text!r} is not a range of numbers from 1 to {most}.")
    return int(first), int(last)
