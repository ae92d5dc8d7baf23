"""What is due of an incident is done once, and of one that is closed nothing is."""

from collections.abc import Callable
from datetime import timedelta

from suimon.resources.remedies import mark
from suimon.response.aftercare import attend, due, ends, is_reported, note_verification
from suimon.response.senses import Verification
from tests.resources.world import ADMIN
from tests.response.cloud import Cloud
from tests.response.test_usage import HEAVY, minutes, uses

Make = Callable[..., Cloud]
NO_BITE = Verification(False, "as much as before")


def test_nothing_is_due_of_what_is_gone_closed_or_young(cloud: Make) -> None:
    c = cloud()
    c.find(c.ports[0])
    c.round()
    young = c.incident()
    assert c.write(lambda tx: attend(tx, young.id)) == young
    assert len(c.active()) == 1
    assert c.write(lambda tx: (due(tx, "gone"), attend(tx, "gone"), note_verification(tx, "gone", NO_BITE))) == (
        *("nothing", None, None),
    )
    c.write(lambda tx: mark(tx, ADMIN, young.id, "it is a mail server", false_positive=True))
    c.clock_ahead(timedelta(hours=2))
    assert c.read(lambda tx: due(tx, young.id)) == "nothing"
    assert c.write(lambda tx: note_verification(tx, young.id, NO_BITE)) is None
    assert "alarm" not in c.timeline(young.id)


def test_what_is_over_is_released_with_its_reason(cloud: Make) -> None:
    c = cloud()
    c.find(c.ports[0])
    c.round()
    c.clock_ahead(timedelta(hours=1, seconds=1))
    id_ = c.incident().id
    c.write(lambda tx: attend(tx, id_))
    assert c.active() == []
    assert c.words(id_, "release") == ["the time is over, and it has stopped"]


def test_what_was_used_up_does_not_go_on(cloud: Make) -> None:
    c = cloud(rules=HEAVY.replace("PER", "port"))
    uses(c, c.ports[0], 51)
    minutes(c, 1)
    found = c.incident()
    assert found.state == "restricted"
    assert not c.read(lambda tx: is_reported(tx, found, found.opened_at - timedelta(hours=1)))
    c.clock_ahead(timedelta(hours=24) - timedelta(seconds=20))
    assert c.read(lambda tx: (due(tx, found.id, tries=True), ends(tx, found.id))) == ("nothing", False)
