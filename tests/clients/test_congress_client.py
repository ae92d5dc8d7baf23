"""The unmodified `openstack congress` of python-congressclient, and `suimon policy`, against a real `suimon serve`.

The client is old and lives in an environment of its own. Its `datasource schema show` needs Python 2 and is left out.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.controller import PATIENCE_S, SUIMON, Controller, line, started
from tests.environments import installed

REQUIREMENTS = Path(__file__).with_name("congress") / "requirements.txt"
OPEN = 'error(r) :- neutronv2:security_group_rules(id=r, direction="ingress", remote_ip_prefix="0.0.0.0/0")'


class Operator:
    """Types commands."""

    def __init__(self, controller: Controller) -> None:
        self._openstack = installed("congress", REQUIREMENTS) / "bin/openstack"
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(controller.state),
            "OS_CLIENT_CONFIG_FILE": str(controller.state / "clouds.yaml"),
            "OS_CLOUD": "suimon",
        }

    def openstack(self, *words: str) -> str:
        return self._said(str(self._openstack), *words)

    def read(self, *words: str) -> Any:
        return json.loads(self.openstack(*words, "-f", "json"))

    def refusal(self, *words: str) -> str:
        done = self._done(str(self._openstack), *words)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def policy(self, *words: str) -> str:
        return self._said(str(SUIMON), "policy", *words)

    def watched(self) -> str:
        """What appears first."""
        command = [str(SUIMON), "policy", "watch"]
        with subprocess.Popen(command, env=self._environment, stdout=subprocess.PIPE, text=True) as watching:
            try:
                assert watching.stdout
                return line(watching.stdout)
            finally:
                watching.kill()

    def _said(self, *words: str) -> str:
        done = self._done(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _done(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, env=self._environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with started(tmp_path_factory.mktemp("cloud") / "state", "--log-level", "debug") as made:
        yield Operator(made)
        assert "request_failed" not in made.log() and "Traceback" not in made.log(), made.log()


def test_a_policy_is_written_asked_and_deleted(operator: Operator) -> None:
    kinds = {one["name"]: one["kind"] for one in operator.read("congress", "policy", "list")}
    assert kinds == {"classification": "nonrecursive", "action": "action"}
    operator.openstack("congress", "policy", "rule", "create", "classification", "p(x) :- q(x)", "--name", "first")
    operator.openstack("congress", "policy", "rule", "create", "classification", 'q("a")')
    wrong = operator.refusal("congress", "policy", "rule", "create", "classification", "p(x) :- not s(x)")
    assert "line 1, column" in wrong
    assert operator.read("congress", "policy", "row", "list", "classification", "p") == [{"Col0": "a"}]
    simulated = ("classification", "p(x)", 'q+("b") q-("a")', "action", "--delta")
    assert set(operator.openstack("congress", "policy", "simulate", *simulated).split()) == {'p+("b")', 'p-("a")'}
    operator.openstack("congress", "policy", "rule", "delete", "classification", "first")
    assert operator.read("congress", "policy", "table", "list", "classification") == [{"id": "q"}]
    projects = operator.read("congress", "datasource", "row", "list", "keystone", "projects")
    assert [one["name"] for one in projects] == ["admin"]


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
    assert operator.policy("mode", "open", "enforced", "--proactive") == "open is enforced and forbids.\n"
    assert "Ask Ann." in operator.refusal(*rule, "--protocol", "udp")
    assert "+" + OPEN in operator.policy("history") and "enforced" in operator.policy("list")
