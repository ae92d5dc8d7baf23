"""Rulebooks: what they may say, and where they are wrong."""

import pytest

from suimon.detection.counters import OF_DROPS, OF_SAMPLES
from suimon.detection.records import OF_RECORDS
from suimon.detection.thresholds import Thresholds
from suimon.model.errors import BadRequest
from suimon.model.findings import DETECTORS
from suimon.model.rulebook import Rulebook, measure_of
from suimon.resources.rule_file import MOST_BYTES, read_rulebook, require_dry_first

GOOD = """\
limits: {acts_an_hour: 3, share_of_ports: 0.01}
never:
  addresses: [192.0.2.0/24, "2001:db8::1"]
rules:
  - name: spam
    detector: mass_mail
    for: {everyone: true}
    do: {kind: port_block, protocol: tcp, port_min: 25, lasts_h: 1}
usage:
  - name: heavy
    more_than_gb: 50
    for: {tags: ['operator:metered']}
    do: {kind: rate_limit, rate_kbps: 10000, lasts_h: 24}
"""


def require_refused(book: str, change: tuple[str, str], place: str, words: str) -> None:
    assert change[0] in book
    with pytest.raises(BadRequest) as caught:
        read_rulebook(book.replace(*change, 1))
    assert caught.value.message.startswith(place), caught.value.message
    assert words in caught.value.message


def test_what_is_not_said_has_its_default() -> None:
    book = read_rulebook(GOOD)
    assert (book.limits.acts_an_hour, book.limits.answer_within_h) == (3, 1.0)
    assert [(rule.name, rule.mode) for rule in book.all_rules] == [("spam", "dry_run"), ("heavy", "dry_run")]
    assert (book.usage[0].within_h, book.usage[0].warn_at, book.usage[0].outside) == (24.0, 0.8, True)
    unsaid = read_rulebook("")
    assert unsaid == Rulebook() and (unsaid.limits.acts_an_hour, unsaid.limits.share_of_ports) == (5, 0.02)


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ("acts_an_hour: 3", "acts_an_hour: -1", "line 1, column 10", ">= 0"),
        ("acts_an_hour", "acts_per_hour", "line 1, column 1", "unknown field"),
        ("share_of_ports: 0.01", "share_of_ports: 0.3", "line 1, column 27", "<= 0.2"),
        ("192.0.2.0/24", "192.0.2.0/33", "line 3, column 15", "no address"),
        ("kind: port_block", "kind: drop", "line 8, column 10", "Invalid enum"),
        ("port_min: 25,", "", "line 8, column 5", "needs its protocol and port_min"),
        ("port_min: 25", "port_min: 25, port_max: 24", "line 8, column 5", "port_max"),
        ("protocol: tcp", "protocol: tcp, rate_kbps: 1", "line 8, column 5", "nothing else has"),
        ("rate_kbps: 10000, ", "", "line 13, column 5", "needs rate_kbps"),
        ("rate_kbps: 10000", "rate_kbps: 10000, protocol: tcp", "line 13, column 5", "Only a port_block"),
        ("'operator:metered'", "metered", "line 12, column 18", "regex '^operator:"),
        ("lasts_h: 24", "lasts_h: 200", "line 13, column 5", "longest_h"),
        ("lasts_h: 24", "lasts_h: .nan", "line 13, column", ""),
        ("name: heavy", "name: spam", "line 5, column 5", "two rules"),
        ("name: heavy", "name: by-hand", "line 10, column 5", "people"),
        ("name: heavy", "name: Heavy!", "line 10, column 5", "regex"),
        ("    more_than_gb: 50\n", "", "line 10, column 5", "more_than_gb"),
        ("more_than_gb: 50", "more_than_gb: lots", "line 11, column 5", "float"),
        ("more_than_gb: 50", "more_than_gb: 50\n    more_than_gb: 60", "line 12, column 5", "twice"),
        ("detector: mass_mail", "detector: mass_mail\n    role: victim", "line 9, column 5", "outside-address"),
        ("detector: mass_mail", "detector: mass_mail\n    role: null", "line 9, column 5", "direction: ingress"),
        ("everyone: true", "everyone: *all", "line 7, column", "aliases"),
        ("rules:", "rules: [", "line", ""),
    ],
)
def test_what_is_wrong_is_told_with_its_place(old: str, new: str, place: str, words: str) -> None:
    require_refused(GOOD, (old, new), place, words)


STEPS = GOOD.replace(
    "port_min: 25, lasts_h: 1}\n",
    """port_min: 25, lasts_h: 1}
    then:
      - {at: 2, do: {kind: rate_limit, rate_kbps: 64, direction: both, lasts_h: 6}}
      - {at: 4, do: {kind: quarantine, lasts_h: 24}}
""",
)


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ("at: 2", "at: 1", "line 10, column 10", ">= 2"),
        ("at: 2, ", "", "line 10, column 9", "missing required field `at`"),
        ("at: 2", "from: 2, at: 2", "line 10, column", "unknown field `from`"),
        ("at: 4", "at: 2", "line 11, column 10", "later time"),
        (
            "kind: quarantine, lasts_h: 24",
            "kind: rate_limit, rate_kbps: 64, direction: both, lasts_h: 6",
            "line 11, column 17",
            "no other measure",
        ),
        ("kind: quarantine", "kind: packet_rate_limit", "line 11, column 17", "needs rate_kbps"),
        ("lasts_h: 6", "lasts_h: 169", "line 10, column 17", "longest_h"),
        ("detector: mass_mail", "detector: mass_mail\n    role: victim", "line 9, column 5", "outside-address"),
    ],
)
def test_what_is_wrong_with_harsher_measures_is_told_with_its_place(old: str, new: str, place: str, words: str) -> None:
    require_refused(STEPS, (old, new), place, words)


def test_a_step_of_a_victim_s_rule_is_no_quarantine_either() -> None:
    victims = STEPS.replace("detector: mass_mail", "detector: mass_mail\n    role: victim").replace(
        "port_min: 25, lasts_h: 1}", "port_min: 25, direction: ingress, lasts_h: 1}"
    )
    with pytest.raises(BadRequest, match=r"^line 12, column 17.*outside-address"):
        read_rulebook(victims)
    assert read_rulebook(victims.replace("kind: quarantine", "kind: packet_rate_limit, rate_kpps: 1, direction: both"))


@pytest.mark.parametrize(
    ("times", "kind"), [(1, "port_block"), (2, "rate_limit"), (3, "rate_limit"), (4, "quarantine"), (99, "quarantine")]
)
def test_which_measure_is_taken(times: int, kind: str) -> None:
    rule = read_rulebook(STEPS).rules[0]
    assert measure_of(rule, times).kind == kind


def test_a_rule_that_waits_for_what_never_comes_is_refused_when_it_is_written() -> None:
    heavy = GOOD.replace("mass_mail", "heavy_traffic")
    with pytest.raises(BadRequest, match=r"^line 5, column 5: .* 0\.5 sure at most"):
        require_dry_first(heavy, Rulebook())
    fires = heavy.replace("heavy_traffic", "heavy_traffic\n    confidence: 0.5")
    assert require_dry_first(fires, Rulebook()).rules[0].confidence == 0.5
    assert read_rulebook(heavy).rules, "one that is in force already stays readable"


def test_a_victim_is_restricted_in_what_it_gets_only() -> None:
    towards = GOOD.replace("detector: mass_mail", "detector: udp_flood\n    role: victim")
    limit = "kind: packet_rate_limit, rate_kpps: 5, direction: ingress, "
    read_rulebook(towards.replace("kind: port_block, protocol: tcp, port_min: 25, ", limit))
    with pytest.raises(BadRequest, match="of victims"):
        read_rulebook(towards.replace("kind: port_block, protocol: tcp, port_min: 25, ", "kind: quarantine, "))


@pytest.mark.parametrize(
    "text",
    ["x" * (MOST_BYTES + 1), "[" * 5000, "- " * 3000 + "x", "a: &a [*a]", "\x00", "!!python/name:os.system x", "3"],
)
def test_hostile_texts_are_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        read_rulebook(text)


def test_a_new_rule_begins_with_dry_run() -> None:
    before = read_rulebook(GOOD)
    acting = GOOD.replace("    do: {kind: port", "    mode: act\n    do: {kind: port")
    assert require_dry_first(acting, before).rules[0].mode == "act"
    for mode in ("act", "approve"):
        with pytest.raises(BadRequest, match="spam is new"):
            require_dry_first(acting.replace("mode: act", f"mode: {mode}"), Rulebook())


ACTING = GOOD.replace("    do:", "    mode: act\n    do:")


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("port_min: 25", "port_min: 1", "do"),
        ("lasts_h: 24", "lasts_h: 23", "do"),
        ("port_min: 25, lasts_h: 1}", "port_min: 25, lasts_h: 1}\n    then: [{at: 2, do: {kind: quarantine}}]", "then"),
        ("detector: mass_mail", "detector: udp_flood", "detector"),
        ("detector: mass_mail", "detector: mass_mail\n    confidence: 0.8", "confidence"),
        ("tags: ['operator:metered']", "everyone: true", "for"),
        ("tags: ['operator:metered']", "tags: ['operator:metered', 'operator:b']", "for"),
        ("everyone: true}", "everyone: true}\n    but_for: {tags: ['operator:mailer']}", "but_for"),
        (
            "everyone: true}",
            "everyone: true}\n    but_for: {tags: ['operator:mailer', 'operator:b'], projects: [b]}",
            "but_for",
        ),
        ("everyone: true}", "everyone: true}\n    but_for: {everyone: true}", "but_for"),
        ("more_than_gb: 50", "more_than_gb: 49", "more_than_gb"),
        ("more_than_gb: 50", "more_than_gb: 50\n    within_h: 48", "within_h"),
        ("more_than_gb: 50", "more_than_gb: 50\n    outside: false", "outside"),
        ("more_than_gb: 50", "more_than_gb: 50\n    per: project", "per"),
    ],
)
def test_a_rule_that_does_another_thing_under_its_name_begins_with_dry_run_again(
    old: str, new: str, field: str
) -> None:
    assert old in ACTING
    exempting = ACTING.replace(
        "everyone: true}", "everyone: true}\n    but_for: {tags: ['operator:mailer', 'operator:a'], projects: [a]}"
    )
    before, after = (
        (exempting, ACTING.replace(old, new, 1)) if field == "but_for" else (ACTING, ACTING.replace(old, new, 1))
    )
    for stays in ("act", "dry_run"):
        with pytest.raises(BadRequest, match=f"another {field} than before"):
            require_dry_first(after, read_rulebook(before.replace("mode: act", f"mode: {stays}")))
    dry = require_dry_first(after.replace("mode: act", "mode: dry_run"), read_rulebook(before))
    assert require_dry_first(after, dry).rules[0].mode == "act"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("everyone: true}", "everyone: true}\n    but_for: {tags: ['operator:mailer']}"),
        ("detector: mass_mail", "detector: mass_mail\n    confidence: 0.95"),
        ("more_than_gb: 50", "more_than_gb: 51"),
        ("mode: act", "mode: approve"),
        ("acts_an_hour: 3", "acts_an_hour: 9"),
    ],
)
def test_what_spares_somebody_is_so_at_once(old: str, new: str) -> None:
    assert old in ACTING
    assert require_dry_first(ACTING.replace(old, new, 1), read_rulebook(ACTING))


def test_a_name_of_another_kind_of_rule_is_new() -> None:
    usage = ACTING.partition("usage:")[2].replace("name: heavy", "name: spam")
    with pytest.raises(BadRequest, match="another kind"):
        require_dry_first(f"usage:{usage}", read_rulebook(ACTING.partition("usage:")[0]))


def test_a_detector_that_does_not_exist_never_finds_anything() -> None:
    with pytest.raises(BadRequest, match=r"^line 6, column 5.* named mass_mial\. There are brute_force, forging"):
        require_dry_first(GOOD.replace("mass_mail", "mass_mial"), Rulebook())


def test_the_detectors_are_those_that_there_are() -> None:
    assert set(DETECTORS) == set(Thresholds.__struct_fields__) == {*OF_RECORDS, *OF_DROPS, *OF_SAMPLES}
