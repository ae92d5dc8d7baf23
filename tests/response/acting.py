"""A cloud whose policies act, with the components that record and execute, which a test lets run round by round."""

from __future__ import annotations

from typing import Any

import msgspec

from suimon.enforcement.enforcement import Enforcement, EnforcementConfig
from suimon.enforcement.scope import Limits
from suimon.model.things import SecurityGroupRule
from suimon.resources import policies
from suimon.response.executor import Executor, ExecutorConfig
from tests.resources.world import ADMIN, ALICE
from tests.response.cloud import Cloud

OPEN = 'error(rule) :- neutronv2:security_group_rules(id=rule, direction="ingress", remote_ip_prefix="0.0.0.0/0")'
CLOSE = "execute[neutronv2:delete_security_group_rule(rule)] :- error(rule)"


class Acting(Cloud):
    def __init__(self, ports: int = 1, url: str = "") -> None:
        super().__init__(ports, rules="rules: []\n", url=url)

    def restart(self) -> None:
        super().restart()
        self.enforcement = Enforcement(EnforcementConfig(Limits(max_s=60)), self.store, ())
        self.enforcement.after_round = Executor(ExecutorConfig(), self.store, self.enforcement.world).round
        self.store.guard(self.enforcement.world.check)

    def enforce(self) -> None:
        self.loop.run_until_complete(self.enforcement.round())

    def policy(self, *clauses: str, name: str = "open", **ways: Any) -> None:
        wanted = policies.Wanted(name=name, clauses=tuple(policies.WantedClause(text=text) for text in clauses))
        self.write(lambda tx: policies.create_policy(tx, ADMIN, wanted), ADMIN)
        self.change(name=name, **({"mode": "enforced", "acts": "act"} | ways))

    def change(self, name: str = "open", **ways: Any) -> None:
        self.write(lambda tx: policies.change_policy(tx, ADMIN, name, msgspec.convert(ways, policies.Ways)), ADMIN)

    def opened(self) -> str:
        """A rule that lets the world into the group of all ports."""
        group = self.get("ports", self.ports[0])["security_groups"][0]
        said = {"direction": "ingress", "protocol": "tcp", "port_range_min": 22, "port_range_max": 22}
        made = self.create(
            "security-group-rules", {**said, "security_group_id": group, "remote_ip_prefix": "0.0.0.0/0"}, ALICE
        )
        return str(made["id"])

    def open_rules(self) -> list[SecurityGroupRule]:
        return self.read(lambda tx: tx.select(SecurityGroupRule, {"remote_ip_prefix": "0.0.0.0/0"}))
