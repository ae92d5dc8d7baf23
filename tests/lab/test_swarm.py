"""A small swarm on a real controller: after the first start nobody needs a snapshot, whatever fails or restarts."""

import asyncio

from suimon.lab.swarm import Swarm, SwarmConfig


def test_storms_are_told_by_deltas_alone() -> None:
    said: list[str] = []
    config = SwarmConfig(hosts=4, ports=80, layout="b", processes=1, fault_s=2, quiet_s=1)
    phases = {phase.name: phase for phase in asyncio.run(Swarm(config, said.append).run())}
    start, *others = phases.values()
    assert start.counts["snapshot"] == 4
    # The network, its subnet and group; 80 peers and 80 members, and for each host its own 20 ports.
    assert start.counts["objects"] == 4 * (3 + 80 + 80 + 20)
    assert {phase.name: phase.counts["snapshot"] for phase in others if phase.counts["snapshot"]} == {}
    assert phases["churn"].counts["delta"] > 0
    assert phases["churn, 30 % fail"].counts["failed"] > 0
    assert any(line.startswith("all agents restart") for line in said)
