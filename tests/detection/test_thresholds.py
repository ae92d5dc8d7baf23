"""Thresholds from YAML: the file that ships says the defaults, and what is wrong is said where it is."""

from pathlib import Path

import msgspec
import pytest

import suimon.detection
from suimon.detection.counters import OF_DROPS, OF_SAMPLES
from suimon.detection.records import OF_RECORDS
from suimon.detection.threshold_file import OF_COLLECTORS, ThresholdsError, read_as
from suimon.detection.thresholds import Thresholds, read

SHIPPED = Path(suimon.detection.__file__).parent / "thresholds.yaml"


def test_the_file_that_ships_says_all_defaults() -> None:
    assert read(SHIPPED.read_text()) == Thresholds()
    text = SHIPPED.read_text()
    for section in msgspec.structs.fields(Thresholds):
        for setting in msgspec.structs.fields(section.type):
            assert f"\n  {setting.name}: " in text.split(f"\n{section.name}:")[1].split("\n\n")[0]


def test_each_detector_has_thresholds_and_each_thresholds_a_detector() -> None:
    detectors = {**OF_RECORDS, **OF_DROPS, **OF_SAMPLES}
    assert set(detectors) == {each.name for each in msgspec.structs.fields(Thresholds)}


def test_one_file_is_for_collectors_and_controllers() -> None:
    assert set(OF_COLLECTORS) == set(OF_RECORDS)
    found, named = read_as(Thresholds, "forging: {packets: 7}\nmass_mail: {servers: 2}\n")
    assert (found.forging.packets, found.mass_mail.servers, named) == (7, 2, {"forging", "mass_mail"})
    assert found.heavy_traffic == Thresholds().heavy_traffic
    with pytest.raises(ThresholdsError, match="line 2"):
        read_as(Thresholds, "forging: {}\nmail: {}\n")


def test_a_file_changes_what_it_names() -> None:
    changed = read("mass_mail:\n  servers: 7\nport_scan: {enabled: false}\n")
    assert (changed.mass_mail.servers, changed.mass_mail.sessions, changed.port_scan.enabled) == (7, 300, False)
    assert read("") == Thresholds()


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("mail:\n  servers: 7\n", 1, 1, "'mail' is none of the detectors"),
        ("mass_mail:\n  serverz: 7\n", 2, 3, "'serverz' is none of the settings of mass_mail"),
        ("mass_mail:\n  servers: many\n", 2, 12, "Expected `int`, got `str`"),
        ("mass_mail:\n  servers: 1\n", 2, 12, "Expected `int` >= 2"),
        ("mass_mail:\n  servers: 5\n  servers: 6\n", 3, 3, "'servers' is there twice"),
        ("mass_mail:\n  enabled: 1\n", 2, 12, "Expected `bool`, got `int`"),
        ("mass_mail:\n  l4_ports: [25, 70000]\n", 2, 13, "Expected `int` <= 65535"),
        ("mass_mail: [1]\n", 1, 12, "the settings of mass_mail belong here"),
        ("- 1\n", 1, 1, "the detectors belong here"),
        ("mass_mail: &a\n  servers: 7\n", 1, 12, "anchors and aliases are not read"),
        ("mass_mail:\n\tservers: 7\n", 2, 1, "found character"),
        ("mass_mail: {servers: .nan}\n", 1, 22, "Expected `int`, got `float`"),
        ("udp_flood: {out_kpps: .nan}\n", 1, 23, "Expected `float` > 0.0"),
    ],
)
def test_what_is_wrong_is_said_where_it_is(text: str, line: int, column: int, words: str) -> None:
    with pytest.raises(ThresholdsError) as raised:
        read(text)
    assert [(each.line, each.column) for each in raised.value.wrong] == [(line, column)]
    assert words in str(raised.value)


@pytest.mark.parametrize(
    "text", ["[" * 5000, "a: " * 9000, "\x00", "mass_mail: !!python/object:os.x {}", "? {a: b}: c"]
)
def test_any_text_gives_thresholds_or_what_is_wrong(text: str) -> None:
    with pytest.raises(ThresholdsError):
        read(text)
