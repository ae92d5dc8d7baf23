"""ARCHITECTURE.md says what is there: its packages, its arrows and its stages are those of the code."""

import re
import tomllib
from pathlib import Path

from suimon.pipeline.tables import Stage

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ROOT / "src" / "suimon"


def test_the_package_table_lists_the_packages_that_exist() -> None:
    assert {row[0].strip("`") for row in table("The packages")} == existing()


def test_the_arrows_are_the_import_contract() -> None:
    drawn = [set(line.split(" · ")) for line in block("Who may import whom")]
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = next(contract["layers"] for contract in settings["contracts"] if contract["type"] == "layers")
    assert drawn == [{name.strip(" ()") for name in layer.split("|")} for layer in layers]
    assert set().union(*drawn) == existing()


def test_the_stage_table_is_the_pipeline() -> None:
    assert [(int(row[0]), row[1].strip("`")) for row in table("The pipeline")] == [(int(s), s.label) for s in Stage]


def test_each_section_says_what_a_reviewer_looks_at() -> None:
    bodies = {title: text.strip() for title, text in sections().items()}
    assert not [title for title, text in bodies.items() if not text.split("\n\n")[-1].startswith("Review: ")]


def test_the_files_it_names_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = re.findall(r"`((?:src|tests)/[\w./-]+)`|\]\(([\w./-]+)\)", text)
    assert not [name for pair in named for name in pair if name and not (ROOT / name).exists()]


def existing() -> set[str]:
    """Packages and modules directly under src/suimon."""
    return {
        path.stem
        for path in PACKAGES.iterdir()
        if (path / "__init__.py").exists() or (path.suffix == ".py" and path.name != "__init__.py")
    }


def sections() -> dict[str, str]:
    parts = re.split(r"^## (.+)\n", (ROOT / "ARCHITECTURE.md").read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def table(section: str) -> list[list[str]]:
    """The rows of a section's table, without its head."""
    rows = [line for line in sections()[section].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def block(section: str) -> list[str]:
    """The lines of a section's first code block."""
    return sections()[section].split("```")[1].strip().splitlines()
