"""Files between lives: what was saved comes back, what can't be trusted doesn't."""

import multiprocessing
import resource
from contextlib import contextmanager

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suimon.agent.held_view import Changes, View
from suimon.agent.number_log import NumberLog
from suimon.agent.saved import KnownNeighbour, StateDirectory, StateError, record
from suimon.agent.view_log import ViewLog
from suimon.model.view import Network, Position
from suimon.pipeline.numbers import Dump, Numbers

HOPS = (KnownNeighbour("net", "203.0.113.1", "52:54:00:00:00:01"),)


@pytest.fixture
def state(tmp_path):
    directory = StateDirectory(tmp_path / "state")
    directory.make()
    return directory


def aside(path):
    return path.with_name(f"{path.name}.corrupt")


@pytest.mark.parametrize("durable", [True, False])
def test_a_value_comes_back(state, durable):
    state.neighbours.save(HOPS, durable=durable)
    assert state.neighbours.load() == HOPS


def test_no_file_is_no_value(state):
    assert state.neighbours.load() is None


SPOILERS = [
    pytest.param(lambda raw: raw[:-10], id="cut off"),
    pytest.param(lambda raw: raw.replace(b"203", b"204"), id="a flipped byte"),
    pytest.param(lambda raw: raw.replace(b'"format":1', b'"format":2'), id="of a later format"),
    pytest.param(lambda raw: b"\xff\x00garbage\n" + raw, id="garbage"),
    pytest.param(lambda raw: b"[]\n", id="not even ours"),
    pytest.param(lambda raw: raw.split(b"\n")[0][:20], id="half a head"),
]


@pytest.mark.parametrize("spoil", SPOILERS)
def test_a_file_that_cannot_be_trusted_is_kept_aside_and_not_used(state, spoil):
    state.neighbours.save(HOPS, durable=False)
    path = state.neighbours.path
    spoilt = spoil(path.read_bytes())
    path.write_bytes(spoilt)
    assert state.neighbours.load() is None
    assert aside(path).read_bytes() == spoilt
    assert not path.exists()


def test_a_crash_while_saving_leaves_the_old_file(state):
    state.neighbours.save(HOPS, durable=False)
    state.neighbours.path.with_name("neighbours.json.new").write_bytes(b"half")
    assert state.neighbours.load() == HOPS


def net(name):
    return Network(name, "vlan", 203, "physnet1", 1500)


def grown(path, names, **options):
    """A log to which one network after another was added, and the views on the way."""
    log, views = ViewLog(path, **options), [View()]
    for revision, name in enumerate(names, 1):
        changes = Changes(Position("s", 1, revision, ("network:n",)), (), (net(name),))
        views.append(views[-1].after(changes))
        log.write([changes], views[-1])
    return log, views


@contextmanager
def disk_full(most_bytes):
    """No file grows beyond that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_view_comes_back_whole(state):
    log, views = grown(state.view, "abc")
    changes = Changes(Position("s", 1, 4), (("network", "b"),), ())
    log.write([changes], views[-1].after(changes))
    again = ViewLog(state.view).load()
    assert again == views[-1].after(changes)
    assert {name for _, name in again.objects} == {"a", "c"}


def test_a_new_life_goes_on_with_the_file(state):
    _, views = grown(state.view, "abc")
    second = ViewLog(state.view)
    view = second.load()
    changes = Changes(Position("s", 1, 4), (), (net("d"),))
    second.write([changes], view.after(changes))
    assert ViewLog(state.view).load() == views[-1].after(changes)


def test_the_file_does_not_grow_for_ever(state):
    _, views = grown(state.view, "ab" * 200, most_bytes=2000)
    assert state.view.stat().st_size <= 2000
    assert ViewLog(state.view).load() == views[-1]


@given(cut=st.integers(0, 2000))
def test_a_view_cut_off_anywhere_is_one_that_once_was(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("view") / "view.json"
    _, views = grown(path, "abcde")
    path.write_bytes(path.read_bytes()[:cut])
    assert ViewLog(path).load() in views


@pytest.mark.parametrize("spoil", SPOILERS[1:-1])
def test_a_view_that_cannot_be_trusted_is_kept_aside_and_not_used(state, spoil):
    grown(state.view, "abc")
    state.view.write_bytes(spoil(state.view.read_bytes()))
    assert ViewLog(state.view).load() == View()
    assert aside(state.view).exists()


def test_after_a_full_disk_the_view_is_written_whole(state):
    log, views = grown(state.view, "abc")
    changes = Changes(Position("s", 1, 4), (), (net("d"),))
    for most_bytes in (state.view.stat().st_size + 10, 10):
        with disk_full(most_bytes), pytest.raises(OSError):
            log.write([changes], views[-1].after(changes))
        assert ViewLog(state.view).load() == views[-1]
    log.write([changes], views[-1].after(changes))
    assert ViewLog(state.view).load() == views[-1].after(changes)


def test_a_file_that_was_removed_is_not_begun_in_the_middle(state):
    log, views = grown(state.view, "abc")
    state.view.unlink()
    log.write([Changes(Position("s", 1, 4), (), (net("d"),))], views[-1])
    assert ViewLog(state.view).load() == View()


ACTS = st.lists(st.tuples(st.sampled_from(("get", "free", "flush", "write")), st.sampled_from("abcd")), max_size=30)


def acted(numbers, act, name):
    match act:
        case "get":
            numbers.get("port", name)
        case "free":
            numbers.free("port", name)
        case "flush" if numbers.unflushed:
            numbers.flushed(min(numbers.unflushed))


@given(acts=ACTS, most_bytes=st.sampled_from((0, 1 << 20)))
def test_numbers_come_back_as_they_were_written(tmp_path_factory, acts, most_bytes):
    path = tmp_path_factory.mktemp("numbers") / "numbers.json"
    numbers, log = Numbers(), NumberLog(path, most_bytes)
    written = numbers.dump()
    for act, name in acts:
        acted(numbers, act, name)
        if act == "write":
            log.write(numbers)
            written = numbers.dump()
            assert NumberLog(path).load().dump() == written


def test_a_number_is_one_small_write(state):
    """Into the file that is there: what is new, without a second file that replaces it, and nothing for nothing new."""
    numbers, log = Numbers(), NumberLog(state.numbers)
    for n in range(1000):
        numbers.get("port", f"p{n}")
    log.write(numbers)
    first = state.numbers.stat()
    numbers.get("port", "another")
    log.write(numbers)
    log.write(numbers)
    second = state.numbers.stat()
    assert first.st_ino == second.st_ino
    assert 0 < second.st_size - first.st_size < 250


def test_numbers_of_the_release_before_are_read(state):
    """Its file was the dump alone."""
    state.numbers.write_bytes(record(msgspec.json.encode(Dump({"port": {"a": 3}}, {"port": 5}, frozenset({4})))))
    numbers = NumberLog(state.numbers).load()
    assert (numbers.get("port", "a"), numbers.get("port", "b"), numbers.unflushed) == (3, 6, {4})


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(["give", "port", "b", 1], id="another's number"),
        pytest.param(["give", "port", "b", 0x8000], id="more than there are"),
        pytest.param(["free", "port", "b", 2], id="a number that nobody has"),
        pytest.param(["flush", "port", "", 7], id="a zone that waits for nothing"),
        pytest.param(["give", "door", "b", 2], id="a kind that there is not"),
    ],
)
def test_numbers_that_cannot_follow_are_kept_aside_and_not_used(state, step):
    parts = Dump({"port": {"a": 1}}, {"port": 1}), [step]
    state.numbers.write_bytes(b"".join(record(msgspec.json.encode(each)) for each in parts))
    assert NumberLog(state.numbers).load().dump().used["port"] == {}
    assert aside(state.numbers).exists()


def test_the_directory_is_closed_to_others(state):
    assert state.path.stat().st_mode & 0o777 == 0o700


def _try_to_lock(path, told):
    try:
        with StateDirectory(path).locked():
            told.put("locked")
    except StateError as error:
        told.put(str(error))


def test_a_second_agent_refuses_in_a_sentence(state):
    spawn = multiprocessing.get_context("spawn")
    told = spawn.Queue()
    with state.locked():
        other = spawn.Process(target=_try_to_lock, args=(state.path, told))
        other.start()
        assert "another agent runs" in told.get(timeout=30)
        other.join(30)
    with state.locked():
        pass
