"""What samples and drop counters tell: forging, and traffic far above what a port usually has."""

from suimon.detection.counters import of_drops, of_samples
from suimon.detection.engine import Engine
from suimon.detection.thresholds import Thresholds
from suimon.model.findings import Finding
from suimon.model.samples import Dropped, Sample

MBIT_S = 125_000


def drops(engine: Engine[list[Dropped]], at_s: float, packets: int, reason: str = "spoofed") -> list[Finding]:
    return engine.step([Dropped("p", "project", reason, packets, at_s - 10, at_s)], at_s)


def test_forging_is_told_from_so_many_packets_within_the_window() -> None:
    engine = of_drops(Thresholds())
    assert drops(engine, 100, 150) == []
    assert drops(engine, 110, 149) == []
    (finding,) = drops(engine, 120, 1)
    assert (finding.detector, finding.numbers["packets"], finding.since_s) == ("forging", 300, 90)


def test_forging_slower_than_that_is_not_told() -> None:
    engine = of_drops(Thresholds())
    assert not [finding for at_s in range(0, 1000, 10) for finding in drops(engine, at_s, 49)]


def test_what_the_tenant_s_own_rules_drop_is_no_forging() -> None:
    engine = of_drops(Thresholds())
    assert drops(engine, 100, 10_000, "egress_rules") == []


def meter(engine: Engine[list[Sample]], begin_s: int, until_s: int, out_mbit_s: float) -> list[Finding]:
    told = []
    for at_s in range(begin_s, until_s, 10):
        octets = int(out_mbit_s * MBIT_S * 10)
        told += engine.step([Sample("p", "project", "n", "h", at_s, at_s + 10, out_bytes=octets)], at_s + 10)
    return told


def test_far_above_its_own_usual_is_told_within_the_window() -> None:
    engine = of_samples(Thresholds())
    assert meter(engine, 0, 3600, 20) == []
    first = meter(engine, 3600, 3700, 500)[0]
    assert first.role == "source"
    assert first.since_s <= 3600 <= first.seen_s <= 3620
    assert first.suggestion is not None
    assert first.suggestion.rate_kbps == 100_000


def test_nothing_is_told_of_a_port_s_first_half_hour() -> None:
    engine = of_samples(Thresholds())
    assert meter(engine, 0, 1000, 20) == []
    assert meter(engine, 1000, 1790, 900) == []


def test_below_what_matters_nothing_is_heavy() -> None:
    engine = of_samples(Thresholds())
    assert meter(engine, 0, 3600, 1) == []
    assert meter(engine, 3600, 4200, 99) == []


def test_a_port_that_is_always_heavy_is_not_told() -> None:
    engine = of_samples(Thresholds())
    assert meter(engine, 0, 7200, 800) == []
    assert meter(engine, 7200, 7500, 1600) == []


def test_one_that_swings_is_not_told_for_swinging() -> None:
    engine = of_samples(Thresholds())
    for begin_s in range(0, 7200, 120):
        meter(engine, begin_s, begin_s + 60, 10)
        meter(engine, begin_s + 60, begin_s + 120, 100)
    assert meter(engine, 7200, 7260, 300) == []


def test_what_lasts_for_an_hour_becomes_usual() -> None:
    engine = of_samples(Thresholds())
    meter(engine, 0, 3600, 20)
    assert meter(engine, 3600, 7000, 500)
    meter(engine, 7000, 18_000, 500)
    assert not [finding for finding in meter(engine, 18_000, 19_000, 500) if not finding.ended]


def test_what_lasts_for_less_stays_news() -> None:
    """Though it has lasted for longer than all that was known of the port before."""
    engine = of_samples(Thresholds())
    meter(engine, 0, 1860, 20)
    meter(engine, 1860, 5000, 500)
    assert [finding.ended for finding in meter(engine, 5000, 5020, 500)] == [False, False]
