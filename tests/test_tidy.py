"""How the code looks: sizes, names, docstrings and leftovers, as CONTRIBUTING.md asks for them.

An exception is a line in one of the tables below, with its reason.
"""

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "suimon"
MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 600
MAX_PARAMETERS = 5

LONG_FUNCTIONS: dict[str, str] = {}
"""`path:function` → why it may be longer."""
LONG_FILES: dict[str, str] = {}
"""`path` → why it may be longer."""
MANY_PARAMETERS: dict[str, str] = {}
"""`path:function` → why it may take more. Click commands need no entry: each option is a parameter there."""
UNIMPORTED: dict[str, str] = {
    "suimon.telemetry.flow": "the collector's decoders, for the commands that want flow records",
    "suimon.policy.engine": "who feeds it facts and asks it",
    "suimon.cli": "the entry point of pyproject.toml",
    "suimon.store.migrations": "alembic loads these by their place",
}
"""Start of a module's dotted name → who loads it, when no module of ours imports it."""

VAGUE_WORDS = {"util", "utils", "helper", "helpers", "common", "manager", "managers", "base", "misc"}
NETWORK_WORDS = re.compile(r"conntrack_?helper", re.IGNORECASE)
"""What is called so in the API that we serve."""
ROOT_NAMES = {
    *(".ci", ".git", ".gitignore", "Makefile", "pyproject.toml", "uv.lock"),
    *("ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md"),
    *("bench", "docs", "packaging", "src", "tests"),
}
DOCUMENTED_PACKAGES = ("model", "pipeline", "store", "resources")
# Written in halves, so that this file does not find itself.
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
OUTSIDE = re.compile(r"\.\./sha" + r"red|(?<![\w.}])/wo" + r"rk/|/tmp/br" + r"ief")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def test_files_and_functions_stay_small() -> None:
    found = []
    for path in python_files():
        if (lines := len(path.read_text().splitlines())) > MAX_FILE_LINES and name_of(path) not in LONG_FILES:
            found.append(f"{name_of(path)} has {lines} lines")
        for name, function, _ in functions(path):
            if _lines(function) > MAX_FUNCTION_LINES and name not in LONG_FUNCTIONS:
                found.append(f"{name} has {_lines(function)} lines")
    complain(f"at most {MAX_FUNCTION_LINES} lines a function, {MAX_FILE_LINES} a file", found)


def _lines(function: Function) -> int:
    return (function.end_lineno or 0) - function.lineno + 1


def test_functions_take_few_parameters() -> None:
    found = []
    for path in source_files():
        for name, function, method in functions(path):
            count = _parameters(function, method)
            if count > MAX_PARAMETERS and not _is_command(function) and name not in MANY_PARAMETERS:
                found.append(f"{name} takes {count} parameters")
    complain(f"at most {MAX_PARAMETERS} parameters", found)


def _parameters(function: Function, method: bool) -> int:
    a = function.args
    count = len(a.posonlyargs) + len(a.args) + len(a.kwonlyargs) + bool(a.vararg) + bool(a.kwarg)
    static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in function.decorator_list)
    return count - (method and not static)


def _is_command(function: Function) -> bool:
    calls = [d.func for d in function.decorator_list if isinstance(d, ast.Call)]
    return any(isinstance(call, ast.Attribute) and call.attr in {"command", "group"} for call in calls)


def test_names_say_something() -> None:
    found = []
    for path in python_files():
        names = dict.fromkeys(path.relative_to(ROOT).with_suffix("").parts, 1)
        for node in ast.walk(tree_of(path)):
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                    names[node.name] = node.lineno
                case ast.Name(ctx=ast.Store()):
                    names[node.id] = node.lineno
                case ast.arg():
                    names[node.arg] = node.lineno
        found += [f"{name_of(path)}:{line} {name}" for name, line in names.items() if _words(name) & VAGUE_WORDS]
    complain("a name must say what the thing is", found)


def _words(identifier: str) -> set[str]:
    own = NETWORK_WORDS.sub("conntrack", identifier)
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", own)}


def test_no_command_goes_through_a_shell() -> None:
    found = []
    for path in python_files():
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call):
                shell = any(k.arg == "shell" and ast.unparse(k.value) != "False" for k in node.keywords)
                function = ast.unparse(node.func)
                if shell or function in {"os.system", "os.popen", "asyncio.create_subprocess_shell"}:
                    found.append(f"{name_of(path)}:{node.lineno} {function}")
    complain("no command goes through a shell", found)


def test_a_package_says_what_it_is_for() -> None:
    packages = [path for path in source_files() if path.name == "__init__.py"]
    complain("a package's docstring is missing", [name_of(p) for p in packages if not ast.get_docstring(tree_of(p))])


def test_what_is_public_is_documented() -> None:
    found = []
    for path in source_files():
        if path.relative_to(SOURCE).parts[0] not in DOCUMENTED_PACKAGES or "migrations" in path.parts:
            continue
        silent = _producers(tree_of(path))
        for node in tree_of(path).body:
            if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_") and node.name not in silent:
                found += [] if ast.get_docstring(node) else [f"{name_of(path)}:{node.lineno} {node.name}"]
    complain("a public function or class lacks its docstring", found)


def _producers(tree: ast.Module) -> set[str]:
    """What a stage registers has one contract, that of `Producers`; its module says what the stage does."""
    tables = [n.value for n in tree.body if isinstance(n, ast.AnnAssign) and ast.unparse(n.target) == "PRODUCERS"]
    return {value.id for table in tables if table for value in ast.walk(table) if isinstance(value, ast.Name)}


def test_every_module_is_used() -> None:
    imported = {name for path in source_files() for name in _imports(path)} | {*UNIMPORTED}
    used = {".".join(name.split(".")[:length]) for name in imported for length in range(1, name.count(".") + 2)}
    modules = {module_of(path) for path in source_files()}
    dead = [module for module in modules - used if not module.startswith(tuple(f"{name}." for name in UNIMPORTED))]
    complain("a module that nothing imports", sorted(dead))


def _imports(path: Path) -> Iterator[str]:
    package = module_of(path).split(".")[: None if path.name == "__init__.py" else -1]
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*start, *([node.module] if node.module else [])])
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)


def test_the_exceptions_are_still_needed() -> None:
    too_long = {name for path in python_files() for name, f, _ in functions(path) if _lines(f) > MAX_FUNCTION_LINES}
    too_wide = {name for path in source_files() for name, f, m in functions(path) if _parameters(f, m) > MAX_PARAMETERS}
    too_big = {name_of(p) for p in python_files() if len(p.read_text().splitlines()) > MAX_FILE_LINES}
    stale = (LONG_FUNCTIONS.keys() - too_long) | (MANY_PARAMETERS.keys() - too_wide) | (LONG_FILES.keys() - too_big)
    complain("an exception that nothing needs", sorted(stale))


def test_nothing_is_left_for_later_and_nothing_points_outside() -> None:
    found = []
    for path in _texts():
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if UNFINISHED.search(line) or OUTSIDE.search(line):
                found.append(f"{name_of(path)}:{number} {line.strip()}")
    complain("unfinished, or a path that only one machine has", found)


def _texts() -> list[Path]:
    top = [path for path in ROOT.iterdir() if not _ignored(path) and path.name not in {"LICENSE", "uv.lock"}]
    files = [path for path in top if path.is_file()]
    files += [path for folder in top if folder.is_dir() for path in folder.rglob("*") if path.is_file()]
    binary = {".db", ".sqlite", ".pcap", ".gz", ".pyc"}
    return [path for path in files if path.suffix not in binary and not _ignored(path)]


def test_the_root_stays_clean() -> None:
    complain("the root is for what every visitor needs", sorted(p.name for p in ROOT.iterdir() if _is_stray(p)))


def _is_stray(path: Path) -> bool:
    return path.name not in ROOT_NAMES and not _ignored(path)


def _ignored(path: Path) -> bool:
    patterns = [line.strip("/") for line in (ROOT / ".gitignore").read_text().split()]
    parts = path.relative_to(ROOT).parts
    return parts[0] == ".git" or any(fnmatch(part, pattern) for part in parts for pattern in patterns)


def complain(rule: str, found: list[str]) -> None:
    assert not found, "\n  ".join([f"{rule}:", *found])


@cache
def python_files() -> list[Path]:
    return sorted(path for folder in ("src", "tests", "bench") for path in (ROOT / folder).rglob("*.py"))


def source_files() -> list[Path]:
    return [path for path in python_files() if SOURCE in path.parents]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT / "src").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def functions(path: Path) -> Iterator[tuple[str, Function, bool]]:
    """Every function of a file: `path:dotted.name`, itself, and whether it is a method."""

    def within(node: ast.AST, prefix: str, method: bool) -> Iterator[tuple[str, Function, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function):
                yield f"{prefix}{child.name}", child, method
                yield from within(child, f"{prefix}{child.name}.", False)
            elif isinstance(child, ast.ClassDef):
                yield from within(child, f"{prefix}{child.name}.", True)
            else:
                yield from within(child, prefix, method)

    yield from within(tree_of(path), f"{name_of(path)}:", False)
