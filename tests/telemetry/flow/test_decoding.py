"""What is compiled finds what numpy finds, whatever the bytes, and reads nothing beside them."""

from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest

from suimon.model.records import Arena
from suimon.telemetry.flow import decoding, netflow5
from suimon.telemetry.flow.clocks import Header
from suimon.telemetry.flow.collector import Collector
from suimon.telemetry.flow.datagrams import SLACK, packed
from suimon.telemetry.flow.elements import LENGTHS, NAMES
from suimon.telemetry.flow.exporters import Allowed, Exporters
from suimon.telemetry.flow.layout import VARIABLE, Template
from tests.fuzz.flows import flow_parsers
from tests.fuzz.mutation import mutated
from tests.telemetry.flow.parts import NOW, ipfix, one_set, specified, template

SOURCES = ("192.0.2.1", "192.0.2.2", "2001:db8::1")
ALLOWED = (Allowed("192.0.2.0/24", open_vswitch=True), Allowed("2001:db8::/64", sampling=7))
EVERYWHERE = Header(*np.full((2, 1), NOW), np.zeros(1, np.int64))


@pytest.fixture(autouse=True)
def by() -> None:
    """Each test says which of the two it is about."""


def found(lots: Sequence[Sequence[tuple[bytes, str]]]) -> list[object]:
    """All that a collector tells of them."""
    of, told = Collector(Exporters(ALLOWED)), list[object]()
    for number, lot in enumerate(lots):
        batch = of.take(packed(lot, NOW + number / 10))
        told += [batch.rows().tobytes(), [each.tobytes() for each in of.counters]]
    streams = [(each.sequence, each.samplers, each.templates.by_id) for each in of.exporters.streams]
    return [*told, [each.losses for each in of.exporters.table], streams]


def both(lots: Sequence[Sequence[tuple[bytes, str]]], monkeypatch: pytest.MonkeyPatch) -> list[list[object]]:
    monkeypatch.setattr(decoding, "_LIBRARY", decoding._loaded(str(Path(decoding.__file__).parent)))
    assert decoding.compiled()
    compiled = found(lots)
    monkeypatch.setattr(decoding, "_LIBRARY", None)
    return [compiled, found(lots)]


@pytest.mark.parametrize("parser", flow_parsers(), ids=lambda parser: parser.name)
def test_mutated_datagrams(parser: object, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = Random(3)
    every = [(raw, chance.choice(SOURCES)) for raw in mutated(parser.valid, 2000, 3)]  # type: ignore[attr-defined]
    compiled, plain = both([every[at : at + 50] for at in range(0, len(every), 50)], monkeypatch)
    assert compiled == plain
    assert sum(len(each) for each in plain if isinstance(each, bytes)) > 0


def test_templates_of_any_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    chance, lots, programs = Random(4), [], 0
    plain = [element for element, name in NAMES.items() if decoding.program(Template(specified([(element, 4)]), 0, 10))]
    for number in range(400):
        elements = chance.sample(chance.choice((plain, [*NAMES, 3, 5, 82])), chance.randrange(1, 12))
        fields = [
            (each, LENGTHS.get(NAMES.get(each, ""), chance.choice((1, 2, 3, 4, 4, 5, 6, 7, 8)))) for each in elements
        ]
        fields += [(82, VARIABLE)] * (number % 20 == 0)
        programs += decoding.program(Template(specified(fields), 0, 10)) is not None
        body = chance.randbytes(chance.randrange(1400))
        lots.append([(ipfix(template(300, *fields), one_set(300, body)), chance.choice(SOURCES))])
    compiled, numpy = both(lots, monkeypatch)
    assert compiled == numpy
    assert 100 < programs < 380, "some are read by numpy alone"


@pytest.mark.parametrize("begin", [-1, 49, 1 << 40, -(1 << 62)])
def test_records_lie_within_the_bytes(begin: int) -> None:
    flat, of = np.zeros(48 + SLACK - 16, np.uint8), netflow5.PROGRAM
    one = np.ones(1, np.int64)
    for counts in (one, one * 3):
        with pytest.raises(AssertionError, match="lie within"):
            decoding.filled(of, flat, decoding.Runs(one * begin, counts, one, one), EVERYWHERE, Arena(9))
    with pytest.raises(AssertionError, match="lie within"):
        decoding.filled(of._replace(record_bytes=8), flat, decoding.Runs(one * 0, one, one, one), EVERYWHERE, Arena(9))


@pytest.mark.parametrize(("begin", "length"), [(-1, 28), (0, 27), (1, 64), (1 << 40, 28), (0, 1 << 62)])
def test_samples_lie_within_the_bytes(begin: int, length: int) -> None:
    told = np.array([begin]), np.array([length])
    with pytest.raises(AssertionError, match="lie within"):
        decoding.sampled(np.zeros(64, np.uint8), *told, np.zeros(1), Arena(9))


def test_of_nothing_nothing_is_found() -> None:
    nothing = np.empty(0, np.int64)
    runs, header = decoding.Runs(*[nothing] * 4), Header(np.empty(0), np.empty(0), nothing)
    assert len(decoding.filled(netflow5.PROGRAM, np.zeros(SLACK, np.uint8), runs, header, Arena(9))[0]) == 0
    assert len(decoding.sampled(np.zeros(SLACK, np.uint8), nothing, nothing, np.empty(0), Arena(9)).batch) == 0
