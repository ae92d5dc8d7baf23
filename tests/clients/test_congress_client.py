"""The unmodified `openstack congress` of python-congressclient, and `suimon policy`, against a real `suimon serve`.

The client is old and lives in an environment of its own.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from suimon.cli import main
from tests.api.controller import PATIENCE_S, SUIMON, Controller, line, started
from tests.environments import installed

CONGRESS = Path(__file__).with_name("congress")
GUIDE = Path(__file__).parents[2] / "docs/guide/policy.md"
COMMANDS = [each for each in (CONGRESS / "commands.txt").read_text().splitlines() if each and not each.startswith("#")]
LINE = re.compile(r"(! )?(?:(\w+)=(\w+) )?(.*?)(?: = (.+))?")
OPEN = 'error(r) :- neutronv2:security_group_rules(id=r, direction="ingress", remote_ip_prefix="0.0.0.0/0")'


class Operator:
    """Types commands."""

    def __init__(self, controller: Controller) -> None:
        self.python = installed("congress", CONGRESS / "requirements.txt") / "bin/python"
        self._environment = {
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
            "HOME": str(controller.state),
            "OS_CLIENT_CONFIG_FILE": str(controller.state / "clouds.yaml"),
            "OS_CLOUD": "suimon",
        }
        self._typed = subprocess.Popen(
            [str(self.python), str(CONGRESS / "typed.py")],
            env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def close(self) -> None:
        self._typed.communicate(timeout=PATIENCE_S)

    def typed(self, *words: str) -> tuple[int, str, str]:
        """What becomes of an `openstack` command: status, what it prints, what it complains of."""
        assert self._typed.stdin and self._typed.stdout
        print(json.dumps(words), file=self._typed.stdin, flush=True)
        status, said, complained = json.loads(line(self._typed.stdout))
        return status, said, complained

    def openstack(self, *words: str) -> str:
        status, said, complained = self.typed(*words)
        assert status == 0, f"openstack {shlex.join(words)}: {complained}"
        return said

    def read(self, *words: str) -> Any:
        return json.loads(self.openstack(*words, "-f", "json"))

    def refusal(self, *words: str) -> str:
        status, said, complained = self.typed(*words)
        assert status != 0, f"openstack {shlex.join(words)}: {said}"
        return complained

    def policy(self, *words: str) -> str:
        done = CliRunner(env=self._environment).invoke(main, ["policy", *words])
        assert done.exit_code == 0, done.output
        return done.output

    def watched(self) -> str:
        """What appears first."""
        command = [str(SUIMON), "policy", "watch"]
        with subprocess.Popen(command, env=self._environment, stdout=subprocess.PIPE, text=True) as watching:
            try:
                assert watching.stdout
                return line(watching.stdout)
            finally:
                watching.kill()


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with started(tmp_path_factory.mktemp("cloud") / "state", "--log-level", "debug") as made:
        operator = Operator(made)
        yield operator
        operator.close()
        assert "request_failed" not in made.log() and "Traceback" not in made.log(), made.log()


def test_every_command(operator: Operator) -> None:
    kept: dict[str, str] = {}
    for typed in COMMANDS:
        refused, name, column, command, words = LINE.fullmatch(typed).groups()  # type: ignore[union-attr]
        given = shlex.split(command.format(**kept))
        if refused:
            printed = operator.refusal(*given)
        elif name:
            printed = kept[name] = operator.openstack(*given, "-f", "value", "-c", column).strip()
        else:
            printed = operator.openstack(*given)
        assert (words or "") in printed, typed
    assert {one["name"] for one in operator.read("congress", "policy", "list")} == {"classification", "action"}


def test_no_command_is_left_out_and_what_only_fails_is_in_the_guide(operator: Operator) -> None:
    listed = "from importlib.metadata import entry_points as e; print(*e(group='openstack.congressclient.v1').names)"
    done = subprocess.run([str(operator.python), "-c", listed], capture_output=True, text=True, check=True)
    commands = {name.replace("_", " ") for name in done.stdout.split()}

    def typed(lines: list[str]) -> set[str]:
        found = [LINE.fullmatch(each).group(4) for each in lines]  # type: ignore[union-attr]
        return {command for command in commands if any(f"{each} ".startswith(f"{command} ") for each in found)}

    assert typed(COMMANDS) == commands
    failing = typed(COMMANDS) - typed([each for each in COMMANDS if not each.startswith("!")])
    section = GUIDE.read_text().partition("## Congress's client")[2]
    assert failing and all(f"`{command.removeprefix('congress ')}`" in section for command in failing), failing


def test_a_group_opened_to_the_world_is_found_and_then_forbidden(operator: Operator, tmp_path: Path) -> None:
    file = tmp_path / "open.dl"
    file.write_text(f"# Nothing is open to everybody.\n{OPEN}\n\n// another\nlisted(1)\n")
    assert "2 clauses" in operator.policy("load", "open", str(file), "--description", "Ask Ann.")
    group = operator.read("security", "group", "create", "web")["id"]
    rule = ("security", "group", "rule", "create", group, "--remote-ip", "0.0.0.0/0")
    made = operator.read(*rule, "--protocol", "tcp")["id"]
    assert operator.watched().startswith(f'+ open error("{made}")')
    (one,) = json.loads(operator.policy("violations", "--json"))
    assert (one["policy"], one["row"]) == ("open", [made])
    assert "security_group_rules(" in operator.policy("explain", one["id"])
    assert made in operator.policy("violations") and made in operator.policy("violations", "--at", one["appeared_at"])
    assert operator.policy("mode", "open", "enforced", "--proactive") == "open is enforced and forbids, acts: ask.\n"
    assert "Ask Ann." in operator.refusal(*rule, "--protocol", "udp")
    assert "+" + OPEN in operator.policy("history") and "enforced" in operator.policy("list")


def test_the_library(operator: Operator, tmp_path: Path) -> None:
    assert "forbidden, may_be_open, stranger" in operator.policy("library", "list")
    file = tmp_path / "mine.dl"
    file.write_text(operator.policy("library", "show", "open_ports"))
    assert "32 clauses" in operator.policy("load", "mine", str(file))
    shown, ready = (
        operator.read("congress", "policy", "show", "mine"),
        json.loads(operator.policy("library", "show", "open_ports", "--json")),
    )
    assert shown["description"] == ready["description"]
    rules = operator.openstack("congress", "policy", "rule", "list", "mine")
    assert all(f"// {rule['comment']}\n{rule['rule']}\n" in rules for rule in ready["rules"] if rule["comment"])
    said = operator.policy("library", "load", "public_addresses", "--fact", "most(2)", "--fact", "most_of('x', 1)",
                           "--mode", "draft")  # fmt: skip
    assert said == "The policy public_addresses has 10 clauses and is draft.\n"
    assert operator.read("congress", "policy", "row", "list", "public_addresses", "most") == [{"Col0": 2}]
    assert "is in the library" in operator.policy("library", "put", "ours", str(file))
    assert "is in the library" in operator.policy("library", "put", "ours", str(file), "--replace")
    assert "is no longer" in operator.policy("library", "remove", "ours")
