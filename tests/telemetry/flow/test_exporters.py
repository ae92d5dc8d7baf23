"""Who exports: one place for each, and what one of its streams says of sampling, for those that say nothing."""

from __future__ import annotations

from suimon.telemetry.flow.exporters import Allowed, Exporters, address

ONE = address("192.0.2.1")


def test_who_is_known_has_one_place() -> None:
    exporters = Exporters([Allowed("192.0.2.0/24")])
    assert [exporters.place(ONE), exporters.place(ONE), exporters.place(address("198.51.100.1"))] == [0, 0, None]
    assert len(exporters.table) == 1
    exporters.allow([])
    assert exporters.place(ONE) is None and len(exporters.table) == 1


def test_a_stream_that_says_no_rate_has_that_of_the_others_if_they_agree() -> None:
    exporters = Exporters([Allowed("192.0.2.0/24")])
    place = exporters.place(ONE)
    assert place is not None
    streams = [exporters.streams[exporters.stream(place, 9, domain) or 0] for domain in range(3)]
    assert exporters.sampling(streams[0]) == 0
    streams[1].learn_sampler(None, 100)
    assert exporters.sampling(streams[0]) == 100
    streams[2].learn_sampler(None, 200)
    assert [exporters.sampling(each) for each in streams] == [0, 100, 200]


def test_what_is_known_of_streams_follows_who_may_export() -> None:
    exporters = Exporters([Allowed("192.0.2.1", 16), Allowed("192.0.2.2")])
    for number, domain in ((1, 7), (2, 7), (2, 8)):
        place = exporters.place(address(f"192.0.2.{number}"))
        assert place is not None
        exporters.stream(place, 10, domain)
    told = exporters.known
    assert told.sampling.tolist() == [16, 0, 0] and not told.open_vswitch.any() and told.sequence.tolist() == [0, 1, 2]
    exporters.allow([Allowed("192.0.2.2", open_vswitch=True)])
    exporters.stream(1, 10, 9)
    exporters.stream(1, 10, 10)
    assert exporters.known.sampling.tolist() == [0, 1, 1, 1, 1]
    assert exporters.known.open_vswitch.tolist() == [False, True, True, True, True]
    assert exporters.known.sequence.tolist() == [0, 1, 2, 1, 1]
