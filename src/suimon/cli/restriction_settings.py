"""What the command line says of restrictions: how a tenant may appeal, what a quarantine leaves, what links lead to."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import click
import msgspec

from suimon.cli.network import SettingsError
from suimon.model import checks
from suimon.model.settings import RUNBOOKS, Settings

_MOST: Final = 16
_PAGE: Final = re.compile(r"https?://[!-\"$-~]{1,500}")


def restriction_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that `restriction_settings` reads."""
    allows = "Addresses or CIDRs of yours that a guest in quarantine may still talk to, as in 192.0.2.10,2001:db8::/64."
    appeal = click.option("--appeal", default="", help="What tenants read of a restriction: whom to turn to.")
    url = "URL of the guide's page of runbooks, which findings and alarms link; else they say its path."
    runbooks = click.option("--runbooks-url", default=RUNBOOKS, show_default=True, help=url)
    command = runbooks(command)
    return appeal(click.option("--quarantine-allows", default="", help=allows)(command))


def restriction_settings(settings: Settings, options: Mapping[str, Any]) -> Settings:
    """With what these options say. Raises SettingsError."""
    allowed = []
    for text in filter(None, map(str.strip, options["quarantine_allows"].split(","))):
        try:
            cidr = checks.parse_cidr(
                text if "/" in text else f"{checks.parse_address(text)}/{128 if ':' in text else 32}"
            )
        except checks.Unfit as unfit:
            raise SettingsError(f"--quarantine-allows: {unfit}.") from None
        allowed.append(str(cidr))
    if len(allowed) > _MOST:
        raise SettingsError(f"--quarantine-allows has more than {_MOST} addresses.")
    page = options["runbooks_url"]
    if page != RUNBOOKS and not _PAGE.fullmatch(page):
        raise SettingsError("--runbooks-url is no URL of a page: say https://…, without a fragment.")
    told = {"appeal": options["appeal"], "runbooks_url": page}
    return msgspec.structs.replace(settings, quarantine_allows=tuple(allowed), **told)
