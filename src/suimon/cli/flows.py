"""`suimon flows`: of this host's switch when a port or nothing is named, else records of the cloud's collectors."""

import click

from suimon.cli.agent import flows as of_this_host
from suimon.cli.flow_records import search, top

_RECORDS = {"search": search, "top": top}


class _Flows(click.Group):
    """A word that is no command is a port, as `suimon flows PORT` was before there were records."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # The options of this host's flows come without a command's name.
        if args and args[0] not in ("--help", *_RECORDS):
            args = ["of", *args]
        return super().parse_args(ctx, args or ["of"])


@click.group(cls=_Flows, commands={"of": of_this_host, **_RECORDS})
def flows() -> None:
    """Show flows of this host's switch with stage names and owners (`of`, or just PORT); search records, sum them."""
