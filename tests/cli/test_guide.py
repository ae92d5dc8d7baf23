"""Every command that the guide shows is there, with the options that it shows."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import click
import pytest

from suimon.cli import main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs/guide").glob("*.md"))]
_FENCED = re.compile(r"^```.*?^```$", re.M | re.S)
_LINE = re.compile(r"^ *(?:\.venv/bin/)?suimon (.*)$", re.M)
_SPAN = re.compile(r"`suimon ([^`]+)`")
_PLACEHOLDER = re.compile(r"[A-Z_]+|.*…")
"""What a reader fills in."""
_UNNAMED = "of"


def shown(text: str) -> Iterator[list[str]]:
    """The words of each command, in blocks of code and in sentences, without comments and where output goes."""
    blocks = _FENCED.findall(text)
    lines = [line for block in blocks for line in _LINE.findall(block)] + re.findall(r"^    suimon (.*)$", text, re.M)
    # A sentence may be about an option and leave its value open.
    spans = [re.sub(r"(--[\w-]+)$", r"\1 …", span) for span in _SPAN.findall(_FENCED.sub("", text))]
    for written in [*lines, *spans]:
        words = shlex.split(re.sub(r"[\[\]]", "", written), comments=True)
        yield list(takewhile(lambda word: not word.startswith((">", "|", "&")), words))


def check(command: click.Command, words: list[str], path: str) -> None:
    """Raises UsageError and AssertionError."""
    context = click.Context(command, info_name=path)
    values, rest, _ = command.make_parser(context).parse_args(list(words))
    for param in command.params:
        value = values.get(param.name or "")
        if isinstance(param.type, click.Choice) and isinstance(value, str | list | tuple):
            for one in [value] if isinstance(value, str) else value:
                assert one in param.type.choices or _PLACEHOLDER.fullmatch(one), f"{path}: {param.name} is never {one}"
    if isinstance(command, click.Group) and rest:
        # Some groups take what is no command of theirs for an argument of one that isn't named.
        name, after = (rest[0], rest[1:]) if command.get_command(context, rest[0]) else (_UNNAMED, rest)
        below = command.get_command(context, name)
        assert below is not None, f"{path} has no command {rest[0]}"
        check(below, after, f"{path} {name}")
        return
    assert rest in ([], ["…"]), f"{path} takes no {rest}"


COMMANDS = [(page.name, words) for page in PAGES for words in shown(page.read_text())]


@pytest.mark.parametrize(
    ("page", "words"), COMMANDS, ids=lambda part: part if isinstance(part, str) else " ".join(part)
)
def test_it_is_there(page: str, words: list[str]) -> None:
    check(main, words, "suimon")


def test_the_guide_shows_commands() -> None:
    assert len(COMMANDS) > 150


@pytest.mark.parametrize(
    "wrong",
    [
        *("hosts list", "host list --all-of-them", "host dry compute1", "lab nothing", "restrict planet PORT"),
        *("why-not A B", "release --why"),
    ],
)
def test_what_is_not_there_is_noticed(wrong: str) -> None:
    with pytest.raises((click.UsageError, AssertionError)):
        check(main, wrong.split(), "suimon")
