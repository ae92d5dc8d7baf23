"""`suimon doctor`: is this machine fit to be a hypervisor, and what is to be mended?"""

from __future__ import annotations

import click

from suimon import doctor as machine


@click.command()
@click.option("--controller", metavar="URL", help="Also check that this controller can be reached.")
@click.option(
    "--ovs-rundir", default="/var/run/openvswitch", show_default=True, help="Where Open vSwitch has its sockets."
)
def doctor(controller: str | None, ovs_rundir: str) -> None:
    """Check this machine, a line a check, and say what to mend; exit status 1 if something essential is missing."""
    verdicts = list(machine.examine(machine.probe(f"{ovs_rundir}/db.sock", controller)))
    for verdict in verdicts:
        click.echo(f"{verdict.level:<4}  {verdict.what}: {verdict.seen}{f' → {verdict.mend}' if verdict.mend else ''}")
    if any(verdict.level == "fail" for verdict in verdicts):
        raise SystemExit(1)
