"""`suimon policy`, `approve` and `undo` against a real controller: what is printed and refused, and how it ends."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
from click.testing import CliRunner, Result

from suimon.cli import main
from suimon.cli.host import CloudError, request
from tests.api.controller import Controller, started
from tests.patience import patient

T = TypeVar("T")
BAD = 'error(x) :- neutronv2:networks(id=x, name="bad")'
TAGGED = 'execute[suimon:add_tag("network", x, "seen")] :- neutronv2:networks(id=x, name="tagged")'


class Typist:
    """Types `suimon` as the cloud's operator."""

    def __init__(self, controller: Controller, folder: Path) -> None:
        self._state, self._folder = controller.state, folder

    def typed(self, *words: str) -> Result:
        return CliRunner(env={"OS_CLIENT_CONFIG_FILE": str(self._state / "clouds.yaml")}).invoke(main, list(words))

    def policy(self, *words: str) -> str:
        """What `suimon policy` prints."""
        done = self.typed("policy", *words)
        assert done.exit_code == 0, done.output
        return done.stdout

    def told(self, *words: str) -> Any:
        return json.loads(self.policy(*words, "--json"))

    def refusal(self, *words: str) -> str:
        """What is said of that it can't be done: one line, and nothing else is printed."""
        done = self.typed(*words)
        assert (done.exit_code, done.stdout) == (1, ""), done.output
        assert done.stderr.startswith("Error: "), done.stderr
        return done.stderr

    def file(self, *clauses: str) -> str:
        path = self._folder / "clauses.dl"
        path.write_text("\n".join(clauses))
        return str(path)

    def network(self, name: str) -> str:
        made = request(self._state, "POST", "v2.0/networks", {"network": {"name": name}})
        return str(made["network"]["id"])

    def tags(self, network: str) -> list[str]:
        return list(request(self._state, "GET", f"v2.0/networks/{network}")["network"]["tags"])


@pytest.fixture(scope="module")
def typist(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Typist]:
    folder = tmp_path_factory.mktemp("cloud")
    with started(folder / "state") as controller:
        yield Typist(controller, folder)
        assert "Traceback" not in controller.log(), controller.log()


def awaited(look: Callable[[], T]) -> T:
    """What it finds, once it finds anything."""
    deadline_s = time.monotonic() + patient(60)
    while not (found := look()):
        assert time.monotonic() < deadline_s, "it never came"
        time.sleep(0.05)
    return found


def moment(typist: Typist, network: str) -> str:
    """A time at which the history has it."""

    def look() -> str:
        at = datetime.now(UTC).isoformat()
        rows = typist.told("rows", "neutronv2:networks", "--at", at, "--limit", "1000")["rows"]
        return at if any(network in row for row in rows) else ""

    return awaited(look)


def test_what_was_denied_and_what_would_have_been(typist: Typist) -> None:
    assert typist.policy("load", "names", typist.file(BAD)) == "The policy names has 1 clauses and is staged.\n"
    said = typist.policy("mode", "names", "staged", "--proactive")
    assert said == "names is staged and would forbid, acts: ask.\n"
    first = typist.network("bad")
    (one,) = typist.told("evaluations", "--policy", "names", "--outcome", "would_deny")
    assert (one["policy"], one["row"], one["clause"]) == ("names", f'error("{first}")', BAD)
    said = typist.policy("mode", "names", "enforced", "--acts", "never")
    assert said == "names is enforced and forbids, acts: never.\n"
    with pytest.raises(CloudError, match="forbids this"):
        typist.network("bad")
    (denied,) = awaited(lambda: typist.told("evaluations", "--outcome", "denied"))
    lines = typist.policy("evaluations", "--policy", "names").splitlines()
    assert lines == [
        line
        for each, outcome in ((denied, "denied"), (one, "would deny"))
        for line in (
            f"{each['at']}  names {outcome}, asked by {each['user_id']}, {each['request_id']}",
            f"    {each['row']}    by {BAD}",
        )
    ]
    assert len(typist.policy("evaluations", "--limit", "1").splitlines()) == 2
    assert typist.policy("evaluations", "--policy", "none") == ""
    assert typist.policy("stop") == "Staged: names\n"
    assert typist.policy("stop") == "Staged: none was enforced\n"
    assert typist.policy("mode", "names", "draft") == "names is draft and would forbid, acts: never.\n"
    listed = {line.split()[0]: line.split()[1:7] for line in typist.policy("list").splitlines()}
    assert listed["names"] == ["draft", "yes", "never", "0", "0", "0"]


def test_who_changed_what(typist: Typist) -> None:
    typist.policy("load", "told", typist.file("error(1)"))
    typist.policy("mode", "told", "draft")
    changed, *made = typist.told("history", "--limit", "3")
    (inserted,) = [one for one in made if one["diff"]]
    assert {one["words"] for one in made} == {"created", "clause inserted"}
    lines = typist.policy("history", "--limit", "3").splitlines()
    assert lines[0] == f"{changed['at']}  told: {changed['words']}, by {changed['author']}"
    before = lines[lines.index("    +error(1)") - 1]
    assert before == f"{inserted['at']}  told: clause inserted, by {inserted['author']}"


def test_what_is_called_for_is_approved_and_undone(typist: Typist) -> None:
    typist.policy("load", "tell", typist.file(TAGGED))
    typist.policy("mode", "tell", "enforced", "--acts", "ask")
    network = typist.network("tagged")
    (one,) = awaited(lambda: typist.told("calls"))
    called = f'{one["appeared_at"]}  tell suimon:add_tag("network", "{network}", "seen"), {one["request_id"]}\n'
    assert typist.policy("calls") == called

    def waiting() -> Any:
        return json.loads(typist.typed("incidents", "--waiting", "--json").stdout)

    (incident,) = awaited(waiting)
    for answer, state, tags in (("approve", "acted", ["seen"]), ("undo", "closed", [])):
        assert typist.typed(answer, incident["id"]).exit_code == 2, "a reason is asked for"
        done = typist.typed(answer, incident["id"], "--why", "for a test")
        assert (done.exit_code, done.stdout) == (0, f"{incident['id']}  network {network}  {state}\n"), done.output
        assert typist.tags(network) == tags
        assert incident["id"] in typist.refusal(answer, incident["id"], "--why", "again")
    assert "could not be found" in typist.refusal("undo", "none", "--why", "for a test")


def test_what_was(typist: Typist) -> None:
    old = typist.network("old")
    at = moment(typist, old)
    later = moment(typist, typist.network("new"))
    past = ("rows", "neutronv2:networks", "--at")
    told = typist.told(*past, at)
    assert [row for row in told["rows"] if old in row and "old" in row] and "new" not in str(told)
    shown = typist.policy(*past, at).splitlines()
    assert shown[0].split() == told["columns"] and len(shown) == 1 + told["many"]
    few = typist.typed("policy", *past, later, "--limit", "1")
    words = f"1 of {told['many'] + 1} rows: --limit shows more.\n"
    assert (few.exit_code, len(few.stdout.splitlines()), few.stderr) == (0, 2, words)
    assert "history begins" in typist.refusal("policy", *past, "2001-01-01T00:00:00Z")
    assert "A time is written as" in typist.refusal("policy", *past, "yesterday")
    assert "nothing" in typist.refusal("policy", "rows", "neutronv2:nothing", "--at", later)
    assert typist.typed("policy", "rows", "neutronv2:networks").exit_code == 2


def test_what_would_have_been(typist: Typist) -> None:
    since = moment(typist, typist.network("before"))
    made = typist.network("replayed")
    moment(typist, made)
    clause = 'error(x) :- neutronv2:networks(id=x, name="replayed")'
    told = typist.told("replay", typist.file(clause), "--since", since)
    (one,) = told["found"]
    lines = typist.policy("replay", typist.file(clause), "--since", since).splitlines()
    what = f'revision {one["revision"]}  + error("{made}")  {one["request_id"]}  would be denied'
    assert lines[0] == f"{one['at']}  {what}"
    assert lines[1].endswith(
        "0 violations before, 1 appeared (+), 0 vanished (-), 1 requests would be denied if it is proactive, "
        "0 actions called for (!)."
    )
    typist.policy("load", "replays", typist.file(clause))
    assert typist.told("replay", "replays", "--since", since)["found"] == told["found"]
    for words, given in (
        ("line 1, column ", (typist.file("error(x"), "--since", since)),
        ("Policy nowhere could not be found", ("nowhere", "--since", since)),
        ("before its end", ("replays", "--since", since, "--until", since)),
    ):
        assert words in typist.refusal("policy", "replay", *given)
    assert typist.typed("policy", "replay", "replays").exit_code == 2


def test_what_would_be(typist: Typist) -> None:
    typist.policy("load", "sums", typist.file("p(x) :- q(x)", "q(1)"))
    assert typist.policy("simulate", "sums", "p(x)", "q+(2)") == "p(1)\np(2)\n"
    assert typist.policy("simulate", "sums", "p(x)", "q+(2) q-(1)", "--delta").splitlines() == ["p+(2)", "p-(1)"]
    said = typist.policy("simulate", "sums", "p(x)", "q+(2) q-(1)", "--trace").splitlines()
    assert said == ["p(2)", "", "q+(2)", "  + p(2)", "q-(1)", "  - p(1)"]
    for given, words in ((("q-(1)",), "Nothing would be found.\n"), (("q+(1)", "--delta"), "Nothing would change.\n")):
        done = typist.typed("policy", "simulate", "sums", "p(x)", *given)
        assert (done.exit_code, done.stdout, done.stderr) == (0, "", words)
    assert "neither an action nor an update" in typist.refusal("policy", "simulate", "sums", "p(x)", "r(1)")
    assert "none could not be found" in typist.refusal("policy", "simulate", "none", "p(x)", "q+(2)")


def test_the_library_refuses(typist: Typist) -> None:
    names = {one["name"] for one in typist.told("library", "list")}
    assert names == {line.split()[0] for line in typist.policy("library", "list").splitlines()[1:]}
    for words, given in (
        ("Library policy none could not be found", ("show", "none")),
        ("Library policy none could not be found", ("load", "none")),
        ("takes facts of", ("load", "orphans", "--fact", "nothing(1)")),
        ("line 1, column ", ("load", "naming", "--fact", "pattern(")),
        ("already exists", ("put", "orphans", typist.file("error(1)"))),
        ("comes with Suimon", ("put", "orphans", typist.file("error(1)"), "--replace")),
        ("comes with Suimon", ("remove", "orphans")),
    ):
        assert words in typist.refusal("policy", "library", *given), given
    assert "clauses.dl: line 1, column " in typist.refusal("policy", "library", "put", "wrong", typist.file("error(1"))
    assert names == {one["name"] for one in typist.told("library", "list")}
    assert "orphans" not in {one["name"] for one in typist.told("list")}


@pytest.mark.parametrize(
    "words",
    [
        "evaluations --outcome allowed", "history --limit 0", "calls --limit 1001", "mode names off",
        "mode names draft --acts always", "library load orphans --mode off", "load names nowhere.dl",
    ],
)  # fmt: skip
def test_what_makes_no_sense_asks_nothing(words: str) -> None:
    assert CliRunner().invoke(main, ["policy", *words.split()]).exit_code == 2


def test_who_is_not_there_is_said(typist: Typist, tmp_path: Path) -> None:
    assert "Policy none could not be found" in typist.refusal("policy", "mode", "none", "draft")
    assert "There is no clouds.yaml" in typist.refusal("policy", "list", "--state", str(tmp_path))
