"""`suimon usage`: what ports, projects and networks sent and got, as a table, a plot in the terminal, JSON or CSV."""

import csv
import json
import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import click

from suimon.cli.amounts import scaled
from suimon.cli.billing import show_month
from suimon.cli.host import call, id_of
from suimon.cli.times import moment, seconds

_BLOCKS: Final = " ▁▂▃▄▅▆▇█"
_SHOWN: Final = ("in_bytes", "in_outside_bytes", "out_bytes", "out_outside_bytes")
_WORDS: Final = ("in", "in, from outside", "out", "out, to outside")
_WIDTH: Final = 72


@click.command()
@click.argument("kind", type=click.Choice(["port", "project", "network", "label"]), required=False)
@click.argument("id_", metavar="[ID]", required=False)
@click.option(
    "--since", default="24h", show_default=True, help="How long ago (90s, 30m, 24h, 7d), or a time (ISO 8601)."
)
@click.option("--until", default="", help="The same; now if it isn't given.")
@click.option("--step", default="", help="How long each step lasts (10s, 5m, 1h).")
@click.option("--month", default="", help="Instead: what a month (2026-10, UTC) came to, for billing; a line for each.")
@click.option("--by", type=click.Choice(["project", "network", "port"]), help="What --month has lines of; project.")
@click.option("--json", "as_json", is_flag=True, help="The API's answer.")
@click.option("--csv", "as_csv", is_flag=True, help="A line for each step, or as --by says.")
@click.option(
    "--state", type=click.Path(path_type=Path), help="The controller's state directory, for the clouds.yaml in it."
)
def usage(kind: str | None, id_: str | None, state: Path | None, **options: Any) -> None:
    """Show what a port or network (ID is its id or name), or a project sent and got, or what a label counts; without
    one, what all did.

    Whoever isn't an operator sees his own project's.
    """
    if bool(options["month"]) < bool(options["by"]) or (options["month"] and kind):
        raise click.UsageError("Say --by with --month; a month is told of all projects, networks or ports at once.")
    if options["month"]:
        path = f"usage/months/{quote(options['month'], safe='')}?{urlencode({'by': options['by'] or 'project'})}"
        told = call(state, "GET", path)
        show_month(told["month"], "json" if options["as_json"] else "csv" if options["as_csv"] else "table")
        return
    if (kind is None) != (id_ is None):
        raise click.UsageError("Say port, project, network or label, and its id.")
    id_ = id_of(state, kind, id_) if id_ and kind in ("port", "network") else id_
    asked = {f"{'metering_label' if kind == 'label' else kind}_id": id_} if kind else {}
    asked |= {name: moment(options[name]) for name in ("since", "until") if options[name]}
    asked |= {"step": str(seconds(options["step"]))} if options["step"] else {}
    told = call(state, "GET", f"usage?{urlencode(asked)}")["usage"]
    if options["as_json"]:
        click.echo(json.dumps(told))
    elif options["as_csv"]:
        rows = csv.DictWriter(sys.stdout, fieldnames=list(told["steps"][0]))
        rows.writeheader()
        rows.writerows(told["steps"])
    else:
        click.echo("\n".join(lines(told)))


def lines(told: dict[str, Any]) -> list[str]:
    """Of an answer: sums and rates of each direction, and how they went over the time."""
    lasted_s = told["step_s"] * len(told["steps"])
    whose = f"{told['kind']} {told['id']}".strip()
    shown = [f"{whose}: {told['since']} to {told['until']}, in steps of {told['step_s']} s"]
    for name, words in zip(_SHOWN, _WORDS, strict=True):
        rates = [step[name] * 8 / told["step_s"] for step in told["steps"]]
        total, mean = told["total"][name], told["total"][name] * 8 / lasted_s
        peak, billed = max(rates), told["percentile_95"][name.removesuffix("_bytes") + "_bps"]
        figures = f"mean {scaled(mean)}bit/s, 95 % {scaled(billed)}bit/s, most {scaled(peak)}bit/s"
        shown += [f"{words:18}{scaled(total)}B; {figures}", f"  {plot(rates)}"]
    unsplit = told["total"]["in_unsplit_bytes"] + told["total"]["out_unsplit_bytes"]
    if unsplit:
        shown.append(f"of up to {scaled(unsplit)}B it is not known whether they were from or to outside")
    if uncounted := told.get("uncounted_rules"):
        shown.append(f"not counted, as they are about a prefix: rules {', '.join(uncounted)}")
    return shown


def plot(rates: list[float]) -> str:
    """One block a step, or for several together the highest, if there are many."""
    together = -(-len(rates) // _WIDTH)
    highest = [max(rates[at : at + together]) for at in range(0, len(rates), together)]
    most = max(highest) or 1.0
    return "".join(_BLOCKS[-(-int(each * 1000) * (len(_BLOCKS) - 1) // max(int(most * 1000), 1))] for each in highest)
