"""A small swarm on a real controller: after the first start nobody needs a snapshot, whatever fails or restarts."""

import asyncio

from suimon.lab.swarm import Phase, Swarm, SwarmConfig, Use, verdicts


def test_storms_are_told_by_deltas_alone() -> None:
    said: list[str] = []
    config = SwarmConfig(hosts=4, ports=80, layout="b", processes=1, fault_s=6, quiet_s=1)
    phases = {phase.name: phase for phase in asyncio.run(Swarm(config, said.append).run())}
    start, *others = phases.values()
    assert start.counts["snapshot"] == 4
    # The network, its subnet and group; 80 peers and 80 members, and for each host its own 20 ports.
    assert start.counts["objects"] == 4 * (3 + 80 + 80 + 20)
    assert {phase.name: phase.counts["snapshot"] for phase in others if phase.counts["snapshot"]} == {}
    assert phases["churn"].counts["delta"] > 0
    assert phases["churn, 30 % fail"].counts["failed"] > 0
    assert any(line.startswith("all agents restart") for line in said)


def test_verdicts_compare_with_the_goals() -> None:
    def phase(name: str, reports: int, snapshots: int = 0) -> Phase:
        counts = {"reports": reports, "watches": 0, "snapshot": snapshots}
        return Phase(name, 10.0, 1.0, counts, Use(0, 0), Use(0, 0))

    first = phase("all start with nothing", 9, 4)
    assert list(map(str, verdicts([first, phase("churn", 100), phase("churn, 30 % fail", 200)]))) == [
        "churn, 30 % fail: times the requests of churn: 2.0 (goal: at most 2) met",
        "churn, 30 % fail: seconds until all is in force: 1.0 (goal: at most 10) met",
        "snapshots after 'all start with nothing': 0.0 (goal: at most 0) met",
    ]
    more = verdicts([phase("churn", 1), phase("churn, 30 % fail", 3)])
    assert "3.0 (goal: at most 2) NOT MET" in str(more[0])
    assert [each.met for each in more] == [False, True, True]
    (snapshots,) = verdicts([first, phase("churn", 1, 1)])
    assert str(snapshots) == "snapshots after 'all start with nothing': 1.0 (goal: at most 0) NOT MET"
    assert not snapshots.met
