"""What a person restricts himself has an incident as of a rule, looked at, told of, closed; what is looked at again."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from suimon.model.incidents import Delivery, Incident
from suimon.model.rulebook import Place
from suimon.model.things import Port, Restriction
from suimon.resources import remedies, restrictions
from suimon.resources.incidents import get_incident, list_incidents
from suimon.resources.restrictions import SPEC
from suimon.resources.subscribers import add_subscriber
from suimon.response.expiry import Expiry, ExpiryConfig
from suimon.response.responder import Responder
from suimon.response.senses import Rate, Verification
from suimon.response.verify import BY_ITSELF
from suimon.store.tx import Tx
from tests.resources.world import ADMIN, ALICE, Body
from tests.response.cloud import Cloud

Make = Callable[..., Cloud]
HOUR = timedelta(hours=1)
LOOK = timedelta(seconds=90)
HOLDS, FAILS = Verification(True, "none pass"), Verification(False, "50.0 sessions a second pass")


def restrict(c: Cloud, target: str, **given: Any) -> Restriction:
    block = {"kind": "port_block", "protocol": "tcp", "port_min": 25, "target_kind": "port", "reason": "mass mail"}
    asked: Body = {**block, "target": target, **given}
    wanted = SPEC.for_create({name: value for name, value in asked.items() if value is not None}, ADMIN)
    return c.write(lambda tx: remedies.restrict(tx, ADMIN, [wanted]))[0]


def later(c: Cloud, by: timedelta) -> None:
    c.clock_ahead(by)
    c.round()


def move(c: Cloud, port: str, host: str) -> None:
    c.write(lambda tx: tx.change(tx.get(Port, port), binding_host=host))


def verifications(c: Cloud) -> int:
    return len(c.words(c.incident().id, "verification"))


def test_it_is_verified_told_of_and_over_in_one_timeline(cloud: Make) -> None:
    c = cloud()
    c.write(lambda tx: add_subscriber(tx, ALICE, "https://tenant.example/hook", "s"), ALICE)
    made = restrict(c, c.ports[0], duration_s=3600, evidence=["dst port 25 of the others"])
    one = c.incident()
    assert (one.rule, one.state, one.restriction_id, one.project_id) == ("by-hand", "restricted", made.id, "red")
    assert (one.subject_kind, one.subject_id, one.acted_at, one.ends_at) == ("port", c.ports[0], None, made.expires_at)
    assert c.words(one.id, "finding") == ["mass mail"] and c.words(one.id, "decision") == ["root asked for it"]
    c.senses.bitten = FAILS
    later(c, LOOK)
    assert c.incident().bites is False and "50.0 sessions" in c.words(one.id, "alarm")[0]
    later(c, HOUR)
    timeline = ["finding", "evidence", "decision", "restriction", "verification", "alarm", "release"]
    assert (c.timeline(one.id), c.incident().state) == (timeline, "closed")
    assert c.words(one.id, "release") == ["the time is over"]
    _, seen = c.read(lambda tx: get_incident(tx, ALICE, one.id))
    assert [entry.kind for entry in seen] == ["finding", "restriction", "verification", "release"]
    told = "".join(each.body for each in c.read(lambda tx: tx.select(Delivery)))
    assert told.count('"id":') >= len(seen) and "mass mail" in told and "others" not in told and "root" not in told


def test_no_finding_is_made_up_and_a_named_one_is_asked_about(cloud: Make) -> None:
    c = cloud(ports=2, mode="dry_run")
    found = c.find(c.ports[0])
    restrict(c, c.ports[0], finding_id=found.id)
    restrict(c, c.ports[1], finding_id=found.id)
    restrict(c, c.ports[1])
    assert c.words(c.incidents()[0].id, "evidence") == [f"finding {found.id}"]
    c.senses.bitten = HOLDS
    later(c, LOOK)
    assert sorted(filter(None, c.senses.about)) == [found.id], "what is said of one port is not of another"
    assert len(c.senses.about) == 3
    figures = c.report()
    assert (figures.findings, figures.acts) == (1, 0), "what the rule found in its dry run"


def test_whoever_said_for_how_long_is_not_overruled(cloud: Make) -> None:
    c = cloud(mode="dry_run")
    found = c.find(c.ports[0])
    restrict(c, c.ports[0], finding_id=found.id, duration_s=3600)
    c.senses.tries = True
    later(c, HOUR - timedelta(seconds=20))
    assert c.senses.asked == 0 and len(c.active()) == 1
    c.find(c.ports[0])
    later(c, timedelta(seconds=21))
    assert c.active() == [] and c.incidents(rule="by-hand")[0].state == "closed"


def test_without_an_end_it_is_closed_when_it_is_released(cloud: Make) -> None:
    c = cloud()
    made = restrict(c, c.ports[0])
    later(c, LOOK)
    later(c, 1000 * HOUR)
    assert c.incident().state == "restricted"
    c.write(lambda tx: restrictions.release(tx, ADMIN, made.id, "mended"))
    id_ = c.incident().id
    assert (c.incident().state, c.timeline(id_)[-2:]) == ("closed", ["decision", "release"])
    assert c.words(id_, "decision")[-1] == "root released it: mended"
    _, seen = c.read(lambda tx: get_incident(tx, ALICE, id_))
    assert seen[-1].words == "released" and "mended" not in str([(entry.words, entry.details) for entry in seen])


def expire(c: Cloud) -> None:
    """As every controller does, with --no-automation as well."""
    c.loop.run_until_complete(Expiry(ExpiryConfig(), c.store).look())


def test_it_is_closed_when_its_time_is_over_though_nothing_happens_by_itself(cloud: Make) -> None:
    c = cloud(ports=2)
    restrict(c, c.ports[0], duration_s=3600)
    restrict(c, c.ports[1], duration_s=7200)
    expire(c)
    assert {one.state for one in c.incidents()} == {"restricted"}
    c.clock_ahead(HOUR)
    expire(c)
    first, second = c.incidents()
    assert (first.state, second.state, first.verify_at) == ("closed", "restricted", None)
    assert c.words(first.id, "release") == ["the time is over"]
    c.round()
    assert c.timeline(first.id).count("release") == 1


def test_so_it_is_by_whoever_ends_it(cloud: Make) -> None:
    c = cloud(ports=2)
    for port in c.ports:
        restrict(c, port)
    c.write(lambda tx: restrictions.release_all(tx, ADMIN, None, "the rule was wrong"))
    assert {(one.state, *c.words(one.id, "decision")[1:]) for one in c.incidents()} == {
        ("closed", "root released it: the rule was wrong")
    }
    block: Body = {"protocol": None, "port_min": None, "target_kind": "outside_address"}
    restrict(c, "203.0.113.9", **block)
    outside = c.network(ADMIN, **{"router:external": True})
    c.subnet(outside, "203.0.113.0/24", ADMIN)
    c.port(outside, ADMIN, fixed_ips=[{"ip_address": "203.0.113.9"}])
    (given,) = c.incidents(subject_id="203.0.113.9", rule="by-hand")
    assert (given.state, c.active()) == ("closed", [])


def test_what_a_rule_restricted_is_not_closed_before_it_is_known_to_have_stopped(cloud: Make) -> None:
    c = cloud()
    c.find(c.ports[0])
    c.round()
    c.clock_ahead(2 * HOUR)
    expire(c)
    assert (c.active(), c.incident().state) == ([], "restricted")
    c.round()
    assert c.incident().state == "closed"


def test_what_nobody_looks_after_is_closed_five_minutes_after_its_end(cloud: Make) -> None:
    c = cloud(ports=2)
    c.find(c.ports[0])
    c.round()
    c.write_rules(c.rules_text().replace("mode: act", "mode: approve"))
    c.find(c.ports[1])
    c.round()
    c.clock_ahead(24 * HOUR)
    for passed, state in ((0, "restricted"), (299, "restricted"), (2, "closed")):
        c.clock_ahead(timedelta(seconds=passed))
        expire(c)
        assert [one.state for one in c.incidents()] == [state, "closed"], passed
    acted, asked = c.incidents()
    assert c.words(acted.id, "release") == ["the time is over, and nobody looked whether it goes on"]
    assert c.words(asked.id, "answer") == ["nobody answered in time"]
    c.round()
    assert [c.timeline(each.id)[-1] for each in (acted, asked)] == ["release", "answer"], "once"


def test_for_many_at_once_the_rulebook_is_read_once(cloud: Make) -> None:
    c = cloud(ports=9)
    reads = []
    for ports in (c.ports[:1], c.ports[1:]):
        asked = [
            SPEC.for_create({"kind": "quarantine", "target_kind": "port", "target": port, "reason": "x"}, ADMIN)
            for port in ports
        ]
        seen: list[str] = []
        c.store.trace(seen.append)
        c.write(lambda tx, asked=asked: remedies.restrict(tx, ADMIN, asked))  # type: ignore[misc]
        c.store.trace(None)
        reads.append(sum("FROM rulebooks" in " ".join(text.split()) for text in seen))
    assert reads == [1, 1]


def test_undone_as_any_incident(cloud: Make) -> None:
    c = cloud()
    restrict(c, c.ports[0])
    id_ = c.incident().id
    c.write(lambda tx: remedies.undo(tx, ADMIN, id_, "not he"))
    assert (c.active(), c.incident().state) == ([], "closed")


def test_of_an_outside_address_no_tenant_hears(cloud: Make) -> None:
    c = cloud()
    block: Body = {"protocol": None, "port_min": None, "target_kind": "outside_address"}
    restrict(c, "203.0.113.9", **block)
    assert (c.incident().subject_kind, c.incident().project_id) == ("outside_address", None)
    later(c, LOOK)
    assert c.incident().bites is None and c.words(c.incident().id, "verification") == ["no counters say anything of it"]
    assert c.read(lambda tx: list_incidents(tx, ALICE)) == []


def test_an_outside_address_that_goes_on_against_the_victim_is_an_alarm(cloud: Make) -> None:
    c = cloud(mode="dry_run")
    found = c.find(c.ports[0], role="victim")
    block: Body = {"protocol": None, "port_min": None, "target_kind": "outside_address"}
    restrict(c, "203.0.113.9", finding_id=found.id, **block)
    c.clock_ahead(LOOK)
    c.find(c.ports[0], role="victim")
    c.round()
    assert c.incidents(rule="by-hand")[0].bites is False


def test_samples_say_what_no_host_can(cloud: Make) -> None:
    c = cloud()
    restrict(c, c.ports[0], kind="rate_limit", rate_kbps=100, protocol=None, port_min=None, direction="egress")
    c.senses.counted = [Rate(900.0, 1.0), Rate(99.0, 0.1)]
    later(c, LOOK)
    assert c.incident().bites is True and c.senses.counted == []
    assert BY_ITSELF not in c.words(c.incident().id, "verification")[0]


def test_it_is_looked_at_again_where_the_port_moves(cloud: Make) -> None:
    c = cloud(ports=2)
    c.host("h2")
    restrict(c, c.ports[0])
    c.senses.bitten = HOLDS
    later(c, LOOK)
    move(c, c.ports[1], "h2")
    c.round()
    later(c, LOOK)
    assert verifications(c) == 1, "another port moved"
    move(c, c.ports[0], "")
    c.round()
    later(c, LOOK)
    assert verifications(c) == 1, "there is nothing to look at while it is nowhere"
    move(c, c.ports[0], "h2")
    c.round()
    assert c.incident().host == "h2" and verifications(c) == 1, "it has to settle"
    c.senses.bitten = FAILS
    later(c, LOOK)
    assert (verifications(c), c.incident().bites) == (2, False)
    later(c, LOOK)
    assert verifications(c) == 2


def test_it_is_looked_at_again_when_it_is_prolonged(cloud: Make) -> None:
    c = cloud()
    c.senses.bitten = HOLDS
    c.find(c.ports[0])
    c.round()
    later(c, LOOK)
    c.clock_ahead(HOUR - LOOK - timedelta(seconds=20))
    c.senses.tries = True
    c.round()
    assert (c.timeline(c.incident().id)[-1], c.incident().bites) == ("prolonged", True)
    c.senses.bitten = FAILS
    later(c, LOOK)
    assert (verifications(c), c.incident().bites) == (2, False)


def test_what_moved_while_it_was_measured_is_measured_again(cloud: Make) -> None:
    c = cloud()
    c.host("h2")
    restrict(c, c.ports[0])
    c.clock_ahead(LOOK)

    async def bites(*_: object) -> Verification:
        def moved(tx: Tx) -> Incident:
            tx.change(tx.get(Port, c.ports[0]), binding_host="h2")
            return remedies.verify_soon(tx, tx.select(Incident)[0])

        await c.store.write(moved, ADMIN)
        return HOLDS

    c.senses.bites = bites  # type: ignore[method-assign]
    c.loop.run_until_complete(Responder.care(c.responder))
    assert (verifications(c), c.incident().verify_at is None) == (0, False)


def test_of_many_for_good_nothing_is_asked(cloud: Make) -> None:
    c = cloud(ports=2)
    for port in c.ports:
        restrict(c, port)
    later(c, LOOK)
    reads, read = [], c.store.read

    async def counted(*args: Any, **options: Any) -> Any:
        reads.append(args)
        return await read(*args, **options)

    c.store.read = counted  # type: ignore[method-assign]
    c.loop.run_until_complete(c.responder.care())
    assert len(reads) == 1


def test_only_what_came_since_is_measured_again(cloud: Make) -> None:
    """An hour that held hides no minute that doesn't."""
    c = cloud()
    c.host("h2")
    spans: list[float] = []

    async def rates(_place: Place, _direction: object, begun_s: float, ended_s: float) -> list[Rate]:
        spans.append(ended_s - begun_s)
        return [Rate(1.0, 1.0)]

    c.senses.rates = rates  # type: ignore[assignment, method-assign]
    restrict(c, c.ports[0])
    later(c, LOOK)
    c.clock_ahead(HOUR)
    move(c, c.ports[0], "h2")
    c.round()
    later(c, timedelta(seconds=65))
    assert [round(span / 10) for span in spans] == [6, 6, 8, 8, 6, 6, 6, 6], "each way"
