"""The command `suimon`: the only place where components are made and wired together.

Commands are registered below by the module that has them, which is imported when the command is asked for:
`suimon --help` has to be quick, and a hypervisor shouldn't load a database to run an agent.
"""

import gc
from importlib import import_module
from typing import Final

import click

from suimon.cli.processor import refuse_old

_COMMANDS: Final = {
    "serve": ("suimon.cli.serve", "Run the controller: the APIs, and the listener for hosts."),
    "backup": ("suimon.cli.backup", "Write everything that a controller knows into a file."),
    "restore": ("suimon.cli.backup", "Put a backup into a database."),
    "export": ("suimon.cli.backup", "Print every resource, to read or compare."),
    "host": ("suimon.cli.host", "Hypervisors: let them join, look at them, remove them."),
    "join": ("suimon.cli.agent", "Make this machine a hypervisor of a cloud."),
    "agent": ("suimon.cli.agent", "Run the agent of this hypervisor."),
    "collector": ("suimon.cli.collector", "Run a collector of flow records."),
    "collectors": ("suimon.cli.collectors", "Collectors that joined: list them, forget one."),
    "flows": ("suimon.cli.flows", "Show flows of this host's switch; search flow records, and sum them."),
    "why": ("suimon.cli.agent", "Say what happens to a packet, and which rule decides it."),
    "why-not": ("suimon.cli.why", "Say why a port is not ready."),
    "restrict": ("suimon.cli.restrict", "Limit or block a port, a project, a network or an address for a while."),
    "release": ("suimon.cli.restrict", "End restrictions before their time."),
    "restrictions": ("suimon.cli.restrict", "Show restrictions, in force or over."),
    "findings": ("suimon.cli.incidents", "Show what detectors found."),
    "incidents": ("suimon.cli.incidents", "Show what became of findings, line by line."),
    "policy": ("suimon.cli.policy", "Policies: what is violated, why, since when; load, stage and enforce them."),
    "approve": ("suimon.cli.incidents", "Say yes to what a rule asks for."),
    "deny": ("suimon.cli.incidents", "Say no to it."),
    "undo": ("suimon.cli.incidents", "Take back what was done in an incident."),
    "mark": ("suimon.cli.incidents", "Say that an incident was a mistake, or right."),
    "report": ("suimon.cli.incidents", "What happened by itself in a month, in figures."),
    "rulebook": ("suimon.cli.rulebook", "What leads to which restriction, for whom, and how much at most."),
    "breaker": ("suimon.cli.rulebook", "Whether anything happens by itself."),
    "subscribers": ("suimon.cli.rulebook", "Who is told of incidents."),
    "usage": ("suimon.cli.usage", "What ports, projects and networks sent and got."),
    "detect": ("suimon.cli.detect", "What the detectors find in stored flow records."),
    "lab": ("suimon.cli.lab", "A data centre on this machine, in network namespaces."),
    "selftest": ("suimon.cli.selftest", "Measure what Suimon promises, here or in a lab: limits."),
    "doctor": ("suimon.cli.doctor", "Check this machine and say what to mend."),
}
"""Command → the module that has a click command of that name, and what the list of commands says of it."""


_TELEMETRY: Final = {"numpy", "duckdb"}
"""What may be left out."""
_BY_DUCKDB: Final = {"collector", "detect"}
"""Commands that need it."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        if cmd_name in _BY_DUCKDB:
            refuse_old()
        # What is imported stays: looking for garbage meanwhile takes a fifth of the time that a start takes.
        gc.disable()
        try:
            module = import_module(_COMMANDS[cmd_name][0])
        except ModuleNotFoundError as error:
            if error.name not in _TELEMETRY:
                raise
            raise click.ClickException(f"`suimon {cmd_name}` needs {error.name}: install suimon[telemetry]") from None
        finally:
            gc.enable()
        command = getattr(module, cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.command(cls=_Commands)
@click.version_option(package_name="suimon")
def main() -> None:
    """Suimon: a cloud network that runs itself."""
