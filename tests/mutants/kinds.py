"""Where the product is broken: one pipeline stage, one act's check, one persona rule at a time.

The places are read from the source, so a new stage, check or rule is a new mutant without being listed anywhere.
"""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple


class Mutant(NamedTuple):
    """One edit: the bytes from `start` to `end` of `path` (relative to src/) become `text`."""

    name: str
    kind: str
    path: Path
    start: int
    end: int
    text: bytes


class Kind(NamedTuple):
    """A family of mutants, and the tests of which at least one must fail for each of them.

    `sample` is how many of them a sample takes, evenly spread.
    """

    find: Callable[[Path], Iterator[Mutant]]
    tests: tuple[str, ...]
    sample: int


class Source(NamedTuple):
    """A source file, its tree, and where each of its lines starts (ast counts columns in UTF-8 bytes)."""

    path: Path
    tree: ast.Module
    lines: tuple[int, ...]

    @classmethod
    def read(cls, root: Path, path: Path) -> "Source":
        content = path.read_bytes()
        starts = [0]
        for line in content.splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        return cls(path.relative_to(root), ast.parse(content), tuple(starts))

    def start(self, node: ast.expr | ast.stmt) -> int:
        return self.lines[node.lineno - 1] + node.col_offset

    def end(self, node: ast.expr | ast.stmt) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.lines[node.end_lineno - 1] + node.end_col_offset


def stages_removed(root: Path) -> Iterator[Mutant]:
    """Each stage taken out of the pipeline's `STAGES`."""
    for source in _sources(root, "pipeline"):
        for table in _tables(source, "STAGES"):
            yield from _elements_removed(source, table, "stage", "")


def producers_removed(root: Path) -> Iterator[Mutant]:
    """Within a stage of several `PRODUCERS`, each of them taken out: what one kind of owner adds to it."""
    for source in _sources(root, "pipeline"):
        for table in _tables(source, "PRODUCERS"):
            if len(table.values) > 1:
                yield from _elements_removed(source, table, "producer", f"{source.path.stem}.")


def complaints_changed(root: Path) -> Iterator[Mutant]:
    """Of stage fit each yield left out, each condition false and true, each number one more, each minus a plus."""
    source = Source.read(root, root / "suimon" / "pipeline" / "fit.py")
    for function in (node for node in source.tree.body if isinstance(node, ast.FunctionDef)):
        edits = [edit for node in _own_statements(function) for edit in _complaint_edits(node)]
        for number, (node, text) in enumerate(edits, 1):
            name = f"fit:{function.name}.{number}"
            yield Mutant(name, "fit", source.path, source.start(node), source.end(node), text.encode())


def _complaint_edits(node: ast.AST) -> Iterator[tuple[ast.expr, str]]:
    match node:
        case ast.Yield():
            yield node, "(yield from ())"
        case ast.If(test=test):
            yield from ((test, "False"), (test, "True"))
        case ast.Constant(value=bool() as value):
            yield node, str(not value)
        case ast.Constant(value=int() as value):
            yield node, str(value + 1)
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            yield node, f"{ast.unparse(left)} + {ast.unparse(right)}"


def questions_spoilt(root: Path) -> Iterator[Mutant]:
    """Of what leads guests' questions for addresses to their answers each yield left out, and each action."""
    source = Source.read(root, root / "suimon" / "pipeline" / "who_has.py")
    edits: list[tuple[ast.expr, bytes]] = []
    for statement in source.tree.body:
        match statement:
            case ast.AnnAssign(value=ast.Tuple(elts=actions)):
                edits += [(action, b"*()") for action in actions]
            case ast.FunctionDef():
                yields = (node for node in _own_statements(statement) if isinstance(node, ast.Yield))
                edits += [(node, b"(yield from ())") for node in yields]
    for number, (node, text) in enumerate(edits, 1):
        name = f"who_has:{number}"
        yield Mutant(name, "who_has", source.path, source.start(node), source.end(node), text)


def builtins_removed(root: Path) -> Iterator[Mutant]:
    """Each builtin and each aggregate of the policy language taken out."""
    for source in _sources(root, "policy"):
        for name in ("BUILTINS", "_STATES"):
            for table in _tables(source, name):
                yield from _elements_removed(source, table, "builtin", f"{source.path.stem}.")


def derivations_misled(root: Path) -> Iterator[Mutant]:
    """Each condition of what derives rows and takes them back taken for false."""
    for stem in ("aggregates", "evaluation"):
        yield from _conditions_false(root, f"policy/{stem}.py", "derive")


def clauses_let_in(root: Path) -> Iterator[Mutant]:
    """The same of what a policy may say, of what is only supposed, and of the library."""
    for path in ("policy/checks.py", "policy/document.py", "policy/whatif.py", "resources/policy_library.py"):
        yield from _conditions_false(root, path, "clause")


def checks_skipped(root: Path) -> Iterator[Mutant]:
    """Each `raise` of the acts replaced by `pass`: what the check refused goes through."""
    for source in _sources(root, "resources"):
        for name, statement in _raises(source.tree, source.path.stem):
            start, end = source.start(statement), source.end(statement)
            yield Mutant(f"check:{name}", "check", source.path, start, end, b"pass")


def rules_loosened(root: Path) -> Iterator[Mutant]:
    """Each line of the table of who may do what, changed to let anyone."""
    for source in _sources(root, "resources"):
        for table in _tables(source, "RULES"):
            for key, value in zip(table.keys, table.values, strict=True):
                assert isinstance(key, ast.Constant)
                cut = source.start(value), source.end(value)
                yield Mutant(f"persona:{key.value}", "persona", source.path, *cut, b"lambda _actor, _target: True")


def gates_opened(root: Path) -> Iterator[Mutant]:
    """Each condition of what acts by itself, taken for false: whatever it kept from happening happens."""
    for stem in ("gate", "accusations", "acts", "aftercare", "asked", "metered", "responder", "usage", "verify"):
        yield from _conditions_false(root, f"response/{stem}.py", "gate")


def actions_broken(root: Path) -> Iterator[Mutant]:
    """Each action taken out, and each condition of what policies have done taken for false."""
    for source in _sources(root, "resources"):
        for table in _tables(source, "ACTIONS"):
            named = [key for key in table.keys if key is not None]
            kept = ast.Dict(
                named, [value for key, value in zip(table.keys, table.values, strict=True) if key is not None]
            )
            yield from _elements_removed(source, ast.copy_location(kept, table), "action", "")
    for path in ("response/executor.py", "resources/actions.py", "resources/calls.py", "resources/remedies.py"):
        yield from _conditions_false(root, path, "action")


def duties_neglected(root: Path) -> Iterator[Mutant]:
    """The same of what tells subscribers, ends what is over and notices a clock that was set; and of each choice within
    an expression.
    """
    for stem in ("clock", "delivery", "expiry", "syslog"):
        yield from _conditions_false(root, f"response/{stem}.py", "duty")
        source = Source.read(root, root / "suimon" / "response" / f"{stem}.py")
        found = [node for node in ast.walk(source.tree) if isinstance(node, ast.IfExp | ast.comprehension)]
        tests = [test for node in found for test in ([node.test] if isinstance(node, ast.IfExp) else node.ifs)]
        for number, test in enumerate(tests, 1):
            yield Mutant(
                f"duty:{stem}.choice{number}", "duty", source.path, source.start(test), source.end(test), b"False"
            )


def incidents_mistold(root: Path) -> Iterator[Mutant]:
    """The same of what incidents are told as, and of what is kept of them."""
    for stem in ("incidents", "alarms", "collectors"):
        yield from _conditions_false(root, f"resources/{stem}.py", "incident")


def policies_ignored(root: Path) -> Iterator[Mutant]:
    """The same of what policies forbid, who sees what of them, and what is kept of the past and replayed."""
    ours = ("ages", "enforcement", "flows", "forbidding", "history", "insides", "past", "purse", "reading", "replay")
    for stem in (*ours, "scope", "table_history", "timed", "world"):
        yield from _conditions_false(root, f"enforcement/{stem}.py", "enforcement")
    for stem in ("evaluations", "fact_history"):
        yield from _conditions_false(root, f"resources/{stem}.py", "enforcement")


def facts_misread(root: Path) -> Iterator[Mutant]:
    """The same of who reads facts from elsewhere, and of the tables that are kept of them."""
    for stem in ("file_rows", "files", "gathering", "usage"):
        yield from _conditions_false(root, f"enforcement/{stem}.py", "fact")
    yield from _conditions_false(root, "resources/fact_tables.py", "fact")


def meters_misread(root: Path) -> Iterator[Mutant]:
    """The same of what turns counters into samples, rolls them up, and closes months."""
    metering = (
        f"telemetry/meter/{stem}.py" for stem in ("ledger", "trunks", "history", "windows", "months", "closing")
    )
    for path in ("agent/meter.py", "dataplane/devices.py", *metering):
        yield from _conditions_false(root, path, "meter")


def trails_broken(root: Path) -> Iterator[Mutant]:
    """The same of who finds what happened on hosts and keeps it, and of what reads the kernel for that."""
    for path in ("agent/checks.py", "agent/untold.py", "dataplane/netlink.py", "resources/host_events.py"):
        yield from _conditions_false(root, path, "trail")


def frames_withheld(root: Path) -> Iterator[Mutant]:
    """The same of who tells hosts what, of their streams, and of what waits there for company."""
    for stem in ("dispatch", "links"):
        yield from _conditions_false(root, f"distribution/{stem}.py", "frame")


def clocks_believed(root: Path) -> Iterator[Mutant]:
    """The same of who says what time it is, doubts it, and says that it is wrong."""
    for path in ("distribution/clock.py", "response/clock.py"):
        yield from _conditions_false(root, path, "clock")


def records_misread(root: Path) -> Iterator[Mutant]:
    """The same of what decodes flow records in Python, and of what tells whose they are."""
    ours = (
        "clocks",
        "exporters",
        "held",
        "layout",
        "meaning",
        "open_vswitch",
        "receiver",
        "receiving",
        "sequence",
        "sflow",
        "templated",
        "templates",
    )
    for path in (*(f"flow/{stem}.py" for stem in ours), "flow/template_file.py", "history/tagging.py"):
        yield from _conditions_false(root, f"telemetry/{path}", "record")


def history_misled(root: Path) -> Iterator[Mutant]:
    """The same of what keeps flow records and finds them."""
    ours = (
        "filters",
        "questions",
        "segments",
        "summaries",
        "summing",
        "parquet",
        "parts",
        "runs",
        "talk",
        "talk_clickhouse",
        "clickhouse",
        "clickhouse_http",
        "clickhouse_sql",
    )
    for stem in ours:
        yield from _conditions_false(root, f"telemetry/history/{stem}.py", "history")


def _conditions_false(root: Path, path: str, kind: str) -> Iterator[Mutant]:
    """Of every `if`, and of what a function answers that says yes or no."""
    source = Source.read(root, root / "suimon" / path)
    for name, condition in _conditions(source.tree, source.path.stem):
        yield Mutant(f"{kind}:{name}", kind, source.path, source.start(condition), source.end(condition), b"False")


def detectors_removed(root: Path) -> Iterator[Mutant]:
    """Each detector made deaf: its `step` takes nothing in."""
    for source in _sources(root, "detection"):
        steps = [node for node in ast.walk(source.tree) if isinstance(node, ast.FunctionDef) and node.name == "step"]
        for step in steps:
            if source.path.stem not in ("engine", "unanswered"):
                cut = source.start(step.body[0]), source.end(step.body[-1])
                yield Mutant(f"detector:{source.path.stem}", "detector", source.path, *cut, b"return []")


def thresholds_ignored(root: Path) -> Iterator[Mutant]:
    """Each comparison of a detector with its configuration, or with a threshold made of it, let through always."""
    for source in _sources(root, "detection"):
        found = [node for node in ast.walk(source.tree) if isinstance(node, ast.Compare) and _is_judged(node)]
        for number, node in enumerate(found, 1):
            left = ast.unparse(node.left)
            cut = source.start(node), source.end(node)
            text = f"(({left}) == ({left}))".encode()
            yield Mutant(f"threshold:{source.path.stem}.{number}", "threshold", source.path, *cut, text)
    yield from _thresholds_in_c(root / "suimon" / "detection" / "folds.c", root)


def _thresholds_in_c(path: Path, root: Path) -> Iterator[Mutant]:
    """Where C compares with one, the operator that differs in what is equal; the opposite one where that is chosen or
    the other, as they are the same then.
    """
    content = _NOT_COMPARED.sub(lambda found: b" " * len(found[0]), path.read_bytes())
    for number, found in enumerate(_COMPARED_IN_C.finditer(content), 1):
        operator = found["operator"]
        equal_too = operator[:1] if operator.endswith(b"=") else operator + b"="
        text = equal_too.translate(_TURNED_ROUND) if found["chosen"] else equal_too
        yield Mutant(
            f"threshold:{path.name}.{number}", "threshold", path.relative_to(root), *found.span("operator"), text
        )


_JUDGES = ("_config.", "threshold", "_LEAST", "_PATIENCE_S", "_quiet_s", "_retell_s", "limit", "share", "sqrt")
"""What a detector compares with, by a part of its name."""
_NOT_COMPARED = re.compile(rb"/\*.*?\*/|^#.*?$|\bfor \([^;{]*;[^;]*;", re.DOTALL | re.MULTILINE)
"""Of C: comments, directives, and how far a loop goes."""
_COMPARED_IN_C = re.compile(
    rb"(?<![-<>])(?P<operator>[<>]=?)(?![<>=])[ (]*[\w>.-]*\b"
    rb"(?:after|clock|last|latest|least|most|oldest|seen|several)\b(?P<chosen> \?)?"
)
_TURNED_ROUND = bytes.maketrans(b"<>", b"><")


def _is_judged(node: ast.Compare) -> bool:
    text = ast.unparse(node)
    return any(word in text for word in _JUDGES)


def _conditions(tree: ast.AST, prefix: str) -> Iterator[tuple[str, ast.expr]]:
    """Every `if` statement's, named by the function it is in and its place there, and every answer of type bool."""
    found = [node.test for node in _own_statements(tree) if isinstance(node, ast.If)]
    yield from ((f"{prefix}.{number}", condition) for number, condition in enumerate(found, 1))
    yield from ((f"{prefix}.answer{number}", answer) for number, answer in enumerate(_answers(tree), 1))
    for node in _own_statements(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _conditions(node, f"{prefix}.{node.name}")


def _answers(tree: ast.AST) -> Iterator[ast.expr]:
    if isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef) and ast.unparse(tree.returns or tree) == "bool":
        for node in _own_statements(tree):
            match node:
                case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
                    yield value


def _sources(root: Path, package: str) -> list[Source]:
    return [Source.read(root, path) for path in sorted((root / "suimon" / package).rglob("*.py"))]


def _tables(source: Source, name: str) -> Iterator[ast.Dict]:
    """The dict that a module assigns to `name`."""
    for statement in source.tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=found)], value=ast.Dict() as table) if found == name:
                yield table
            case ast.AnnAssign(target=ast.Name(id=found), value=ast.Dict() as table) if found == name:
                yield table


def _elements_removed(source: Source, table: ast.Dict, kind: str, prefix: str) -> Iterator[Mutant]:
    """For each element of a dict a mutant without it, named by its key."""
    keys = [key for key in table.keys if key is not None]
    for index, key in enumerate(keys):
        if index + 1 < len(keys):
            cut = source.start(key), source.start(keys[index + 1])
        elif index:
            cut = source.end(table.values[index - 1]), source.end(table.values[index])
        else:
            cut = source.start(table) + 1, source.end(table) - 1
        name = key.value if isinstance(key, ast.Constant) else ast.unparse(key)
        yield Mutant(f"{kind}:{prefix}{name}", kind, source.path, *cut, b"")


def _raises(tree: ast.AST, prefix: str) -> Iterator[tuple[str, ast.Raise]]:
    """Every raise statement, named by the function it is in and its place there: `ports.create_port.1`."""
    found = [node for node in _own_statements(tree) if isinstance(node, ast.Raise)]
    yield from ((f"{prefix}.{number}", statement) for number, statement in enumerate(found, 1))
    for node in _own_statements(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _raises(node, f"{prefix}.{node.name}")


def _own_statements(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a scope, but not those of the functions and classes within it."""
    for child in ast.iter_child_nodes(tree):
        yield child
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _own_statements(child)


_OF_THE_GATE = tuple(
    f"tests/response/test_{name}.py"
    for name in (
        *("gate", "accusations", "metered", "verify", "responder", "usage", "executor", "by_hand"),
        *("dry_run",),
    )
)
_OF_ACTIONS = ("tests/resources/test_actions.py", "tests/response/test_executor.py", "tests/response/test_responder.py")
_OF_INCIDENTS = (
    *(f"tests/response/test_{name}.py" for name in ("expiry", "by_hand", "responder", "delivery", "dry_run")),
    *("tests/api/test_incidents.py", "tests/distribution/test_collectors.py", "tests/cli/test_sampled.py"),
)
_OF_DUTIES = tuple(
    f"tests/response/test_{name}.py" for name in ("delivery", "expiry", "by_hand", "responder", "gate", "own_clock")
)
_OF_METERS = (
    *(f"tests/telemetry/meter/test_{name}.py" for name in ("ledger", "trunks", "history", "windows", "months")),
    *("tests/agent/test_meter.py", "tests/api/test_usage.py", "tests/api/test_usage_months.py"),
    "tests/dataplane/test_devices.py",
)
_OF_TRAILS = (
    *(f"tests/agent/test_{name}.py" for name in ("checks", "untold", "reporter")),
    *("tests/dataplane/test_netlink.py", "tests/resources/test_host_events.py", "tests/distribution/test_trail.py"),
)
_OF_ENFORCEMENT = tuple(
    f"tests/enforcement/test_{name}.py"
    for name in ("world", "forbidding", "history", "replay", "fact_tables", "enforcement", "purse", "flows", "timed")
)
_OF_FACTS = tuple(f"tests/enforcement/test_{name}.py" for name in ("fact_tables", "file_rows", "gathering"))
_OF_HISTORY = tuple(
    f"tests/telemetry/test_{name}.py"
    for name in ("history", "summaries", "packing", "summing", "clickhouse", "collecting", "talk")
)
_OF_FRAMES = tuple(
    f"tests/distribution/test_{name}.py"
    for name in ("links", "gathering", "dispatch", "linking", "moves", "costs", "schemas")
)
_OF_CLOCKS = ("tests/distribution/test_clock.py", "tests/response/test_own_clock.py")
_OF_RECORDS = ("tests/telemetry/flow", "tests/telemetry/test_tagging.py")

_OF_CLAUSES = tuple(f"tests/policy/test_{name}.py" for name in ("refusals", "engine", "cases", "document"))
_OF_DERIVING = tuple(f"tests/policy/test_{name}.py" for name in ("engine", "cases", "refusals", "law"))

KINDS = {
    "stage": Kind(stages_removed, ("tests/pipeline",), sample=4),
    "producer": Kind(producers_removed, ("tests/pipeline",), sample=4),
    "fit": Kind(complaints_changed, ("tests/pipeline",), sample=2),
    "who_has": Kind(questions_spoilt, ("tests/pipeline",), sample=2),
    "check": Kind(checks_skipped, ("tests/resources", "tests/api"), sample=8),
    "gate": Kind(gates_opened, _OF_THE_GATE, sample=4),
    "action": Kind(actions_broken, _OF_ACTIONS, sample=4),
    "incident": Kind(incidents_mistold, _OF_INCIDENTS, sample=2),
    "duty": Kind(duties_neglected, _OF_DUTIES, sample=2),
    "enforcement": Kind(policies_ignored, _OF_ENFORCEMENT, sample=4),
    "fact": Kind(facts_misread, _OF_FACTS, sample=2),
    "meter": Kind(meters_misread, _OF_METERS, sample=3),
    "trail": Kind(trails_broken, _OF_TRAILS, sample=2),
    "frame": Kind(frames_withheld, _OF_FRAMES, sample=2),
    "clock": Kind(clocks_believed, _OF_CLOCKS, sample=2),
    "record": Kind(records_misread, _OF_RECORDS, sample=3),
    "history": Kind(history_misled, _OF_HISTORY, sample=3),
    "detector": Kind(detectors_removed, ("tests/detection",), sample=3),
    "threshold": Kind(thresholds_ignored, ("tests/detection",), sample=3),
    "builtin": Kind(builtins_removed, ("tests/policy/test_builtins.py", "tests/policy/test_engine.py"), sample=3),
    "clause": Kind(clauses_let_in, _OF_CLAUSES, sample=2),
    "derive": Kind(derivations_misled, _OF_DERIVING, sample=3),
    "persona": Kind(rules_loosened, ("tests/resources", "tests/api"), sample=4),
}

_TWICE = "reached only when two controllers do the same at once, which the lease keeps from happening"
_SHORTER = "a shorter way to the same, where there is nothing to do"
EQUIVALENT: dict[str, str] = {
    "action:executor.Executor._decide.1": "a line in the log",
    "action:executor.Executor._look.1": _TWICE,
    "action:executor._forgo.1": _TWICE,
    "action:executor._refused.1": _TWICE,
    "derive:evaluation.Evaluation._settle_one.1": "what comes in bulk comes row by row, later",
    "enforcement:ages.stale_below.1": "nothing rests on none of them, after a look at each clause",
    "enforcement:flows.Flows.read.1": "a line in the log",
    "enforcement:scope.Scope._take_clause.1": "what is in force already changes nothing, and what can't be still can't",
    "enforcement:world.World._catch_up.3": "a line in the log",
    "fit:widest.1": "a router without networks gets no packet",
    "gate:responder.Responder._settle.3": "a line in the log",
    "history:parquet._texts.1": "that all rows have a text is then said with a bit each: as true, and longer",
    "incident:incidents.get_incident.1": "its lines are chosen by the project, too, and none is as good as no incident",
    "meter:history.History.note.1": "of a reading that is no news the same head is written again, and no sample",
    "meter:history.History.samples.1": "hosts that never had the subject are read for nothing",
    "meter:history._rows.1": "as above",
    "meter:months.Fold._step.1": _SHORTER,
    "record:clocks._plausible.answer1": _SHORTER,
    "record:clocks.believed.1": _SHORTER,
    "record:meaning.sampling.1": "zeros say of each that it doesn't say, too",
    "record:meaning.sampling_options.1": "no rate is a number then, either",
    "record:receiver.Receiver._emptied.1": "asks once more for nothing",
    "record:receiver._bound.1": "what Linux does unless it is told otherwise (net.ipv6.bindv6only)",
    "record:sequence.Sequence.take_row.1": "each by itself comes to the same, later",
    "record:sflow._counters.1": _SHORTER,
    "record:sflow._things.1": _SHORTER,
    "record:sflow._things.3": _SHORTER,
    "record:templated.sets.1": "numpy's way, which says the same as C's",
    "record:templated.sets.3": _SHORTER,
    "record:templates.Templates.has_all_of.answer1": _SHORTER,
    "record:templates.Templates.learned.1": _SHORTER,
    "record:templates.announced.6": "what follows is cut off then, which is said of it",
    "record:tagging.Tagger._found.1": _SHORTER,
    "record:tagging.Tagger._guest_at.1": _SHORTER,
    "record:tagging.Tagger.tag.1": _SHORTER,
    "record:tagging.Tagger.tag.2": _SHORTER,
    "record:sflow.decode.1": "numpy's way, which says the same as C's",
    "threshold:folds.c.5": "of as many as may have rows none is left out, either",
    "threshold:folds.c.11": "nothing is equal to what was multiplied by nearly one",
    "threshold:folds.c.17": "as above",
}
"""Mutant → why no test can notice: what it removes is a second line of defence, or can't be reached."""
