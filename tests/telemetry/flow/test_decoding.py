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
    # In small ones, all datagrams may be of streams that are known; in large ones hardly ever.
    lots = [every[at : at + 50] for at in range(0, 1000, 50)] + [every[at : at + 2] for at in range(1000, 2000, 2)]
    compiled, plain = both(lots, monkeypatch)
    assert compiled == plain
    assert sum(len(each) for each in plain if isinstance(each, bytes)) > 0


def test_streams_that_are_known_are_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_LIBRARY", decoding._loaded(str(Path(decoding.__file__).parent)))
    of, looked = Collector(Exporters(ALLOWED)), list[int]()
    identified = of._identified
    monkeypatch.setattr(of, "_identified", lambda told: looked.append(len(told.begins)) or identified(told))
    fields = (8, 4), (1, 4)
    first = [(ipfix(template(300, *fields), domain=domain), source) for domain in (1, 2) for source in SOURCES]
    more = [(ipfix(one_set(300, bytes(8)), domain=domain), source) for domain in (2, 1) for source in SOURCES]

    def taken(lot: list[tuple[bytes, str]], *, cut: bool = False) -> tuple[int, bool]:
        before, told = len(looked), packed(lot, NOW)
        batch = of.take(told._replace(cut=np.array([*told.cut[1:], cut])))
        assert not len(batch) or batch["exporter"].tolist() == [SOURCES.index(each) for _, each in lot][: len(batch)]
        return len(batch), len(looked) == before

    assert taken(first) == (0, False)
    assert taken(more) == (6, True) and taken(more[::-1]) == (6, True)
    assert [each.losses.datagrams for each in of.exporters.table] == [6, 6, 6]
    assert taken(more, cut=True) == (5, False), "it is malformed"
    assert taken([*more, (more[0][0][:15], SOURCES[0])]) == (6, False)
    other = ipfix(template(300, *fields), one_set(300, bytes(8)), domain=3)
    assert taken([(other, SOURCES[0])]) == (1, False) and taken([(other, SOURCES[0]), *more]) == (7, True)
    assert taken([(other, SOURCES[1])]) == (1, False), "another's domain isn't its"
    of.exporters.allow(ALLOWED[:1])
    assert taken([(more[2][0], SOURCES[2])]) == (0, False), "who may not send any more is a stranger"
    assert of.exporters.strangers == {SOURCES[2]: 1} and taken(more[:2]) == (2, True)


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
    told = packed([(bytes(28), SOURCES[0])], NOW)._replace(begins=np.array([begin]), lengths=np.array([length]))
    with pytest.raises(AssertionError, match="lie within"):
        decoding.sampled(told._replace(flat=np.zeros(64, np.uint8)), *np.zeros((2, 1), np.int64), Arena(9))


@pytest.mark.parametrize(("begin", "length"), [(-1, 28), (1, 64), (65, 0), (1 << 40, 28), (0, -1), (0, 1 << 62)])
def test_datagrams_lie_within_the_bytes(begin: int, length: int) -> None:
    told = packed([(bytes(20), SOURCES[0])], NOW)._replace(begins=np.array([begin]), lengths=np.array([length]))
    with pytest.raises(AssertionError, match="lie within"):
        decoding.Known([]).find(told._replace(flat=np.zeros(64, np.uint8)))
    for version, least in ((9, 20), (10, 16)):
        for lengths in (told.lengths, np.array([least - 1])):
            with pytest.raises(AssertionError, match="lie within"):
                decoding.sets(np.zeros(64, np.uint8), told.begins, lengths, version, 128)


def test_of_nothing_nothing_is_found() -> None:
    nothing = np.empty(0, np.int64)
    runs, header = decoding.Runs(*[nothing] * 4), Header(np.empty(0), np.empty(0), nothing)
    assert len(decoding.filled(netflow5.PROGRAM, np.zeros(SLACK, np.uint8), runs, header, Arena(9))[0]) == 0
    assert len(decoding.sampled(packed([], NOW), nothing, nothing, Arena(9)).batch) == 0
    assert not decoding.sets(np.zeros(SLACK, np.uint8), nothing, nothing, 9, 128)[0].size
