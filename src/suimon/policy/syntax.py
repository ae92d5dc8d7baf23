"""Text to statements: tokens that know their place, and a reader of one token ahead.

    program   = { statement [ "." | ";" ] }
    statement = literal { "," literal } [ ":-" literal { "," literal } ]
    literal   = [ "not" | "NOT" | "!" ] ( atom | ( "execute" | "insert" | "delete" ) "[" atom "]" )
    atom      = name [ "+" | "-" ] [ "(" [ argument { "," argument } ] ")" ]
    argument  = term | column "=" term | aggregate "(" variable ")"
    term      = variable | [ "-" ] number | text | "true" | "false" | "null"

Comments are `# …`, `// …` and `/* … */`. Text stands in single or double quotes, on one line; a backslash stays as it
is typed, and keeps a quote that follows it from ending the text.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import NamedTuple, NoReturn

from suimon.policy.errors import Place, PolicyError
from suimon.policy.terms import Aggregate, Literal, Statement, Term, Variable
from suimon.policy.values import FALSE, TRUE, NoValue, Stored, stored

MAX_PROGRAM = 1_000_000
"""Characters of one text."""
MAX_ARGUMENTS = 100
"""Of one atom; and literals of one body."""
AGGREGATES = ("count", "sum", "min", "max", "avg")
MODALS = ("execute", "insert", "delete")

_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*|//[^\n]*|/\*[\s\S]*?\*/)
    |(?P<number>(?:0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?)(?![A-Za-z_0-9]))
    |(?P<name>[A-Za-z_][A-Za-z_0-9]*(?:[.:][A-Za-z_0-9]+)*)
    |(?P<text>"(?:[^"\\\r\n]|\\[^\r\n])*"|'(?:[^'\\\r\n]|\\[^\r\n])*')
    |(?P<mark>:-|[()\[\],.;=+!-])""",
    re.VERBOSE | re.ASCII,
)
_CONSTANTS: dict[str, Stored] = {"true": TRUE, "false": FALSE, "null": None}


class _Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int


def read(program: str) -> list[Statement]:
    """All statements of a text. `PolicyError` at the first place that can't be read."""
    return _Reader(program).statements()


def read_query(query: str) -> Literal:
    """The one positive atom of a question."""
    found = read(query)
    if len(found) != 1 or found[0].body is not None or len(found[0].heads) != 1 or found[0].heads[0].negated:
        place = found[0].place if found else Place(1, 1)
        raise PolicyError("a question is one atom", place, "such as error(x)")
    return found[0].heads[0]


class _Reader:
    def __init__(self, program: str) -> None:
        if len(program) > MAX_PROGRAM:
            raise PolicyError(f"more than {MAX_PROGRAM} characters at once")
        self._program = program
        self._lines = [0, *(m.end() for m in re.finditer("\n", program))]
        self._tokens = self._split()
        self._at = 0
        self._unnamed = 0

    def _split(self) -> list[_Token]:
        tokens, position, end = [], 0, len(self._program)
        while position < end:
            match = _TOKEN.match(self._program, position)
            if match is None or match.lastgroup is None:
                self._refuse_character(position)
            if match.lastgroup != "space":
                tokens.append(_Token(match.lastgroup, match.group(), position, match.end()))
            position = match.end()
        return [*tokens, _Token("end", "the end", end, end)]

    def _refuse_character(self, position: int) -> NoReturn:
        character, hint = self._program[position], ""
        if character in "\"'":
            raise PolicyError("text that does not end on its line", self._place(position), f"close it with {character}")
        if self._program.startswith("/*", position):
            raise PolicyError("a comment that does not end", self._place(position), "close it with */")
        if character in "<>":
            hint = "compare with builtin:lt(x, y), builtin:gteq(x, y) …"
        elif character.isdigit():
            hint = "a name begins with a letter"
        raise PolicyError(f"{character!r} means nothing here", self._place(position), hint)

    def _place(self, position: int) -> Place:
        line = bisect_right(self._lines, position)
        return Place(line, position - self._lines[line - 1] + 1)

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._next
        self._at += token.kind != "end"
        return token

    def _if(self, *marks: str) -> str:
        """The mark that comes next, taken, if it is one of these."""
        return self._take().text if self._next.kind == "mark" and self._next.text in marks else ""

    def _expect(self, mark: str, hint: str = "") -> None:
        if not self._if(mark):
            self._refuse(f"{mark!r} expected, found {self._next.text}", hint)

    def _refuse(self, reason: str, hint: str = "") -> NoReturn:
        raise PolicyError(reason, self._place(self._next.start), hint)

    def statements(self) -> list[Statement]:
        found = []
        while self._next.kind != "end":
            found.append(self._statement())
            self._if(".", ";")
        return found

    def _statement(self) -> Statement:
        start, self._unnamed = self._next.start, 0
        heads, body = self._literals(), None
        if self._if(":-"):
            body = self._literals()
        elif len(heads) > 1:
            self._refuse("':-' expected after several heads", "facts stand side by side, without a comma")
        return Statement(heads, body, self._program[start : self._tokens[self._at - 1].end])

    def _literals(self) -> tuple[Literal, ...]:
        found = [self._literal()]
        while self._if(","):
            found.append(self._literal())
            if len(found) > MAX_ARGUMENTS:
                self._refuse(f"more than {MAX_ARGUMENTS} literals")
        return tuple(found)

    def _literal(self) -> Literal:
        negated = bool(self._if("!"))
        if not negated and self._next.kind == "name" and self._next.text in ("not", "NOT"):
            negated = bool(self._take())
        name, modal = self._name(), ""
        if name.text in MODALS and self._if("["):
            modal, name = name.text, self._name()
        update = self._if("+", "-")
        arguments, columns = self._arguments() if self._if("(") else ((), ())
        if modal:
            self._expect("]")
        return Literal(name.text, arguments, columns, negated, modal, update, self._place(name.start))

    def _name(self) -> _Token:
        if self._next.kind != "name":
            hint = "compare with builtin:equal(x, y)" if self._next.text == "=" else ""
            self._refuse(f"a table's name expected, found {self._next.text}", hint)
        return self._take()

    def _arguments(self) -> tuple[tuple[Term, ...], tuple[tuple[str, Term], ...]]:
        positions: list[Term] = []
        columns: list[tuple[str, Term]] = []
        while columns or positions or not self._if(")"):
            if self._next.kind in ("name", "number") and self._tokens[self._at + 1].text == "=":
                column = self._take().text
                self._take()
                columns.append((column, self._term()))
            elif columns:
                self._refuse("a position after a named column", "positions come first")
            else:
                positions.append(self._term())
            if len(positions) + len(columns) > MAX_ARGUMENTS:
                self._refuse(f"more than {MAX_ARGUMENTS} arguments")
            if self._if(")"):
                break
            self._expect(",", "or ')' is missing")
        return tuple(positions), tuple(columns)

    def _term(self) -> Term:
        if self._next.kind == "name":
            return self._named()
        negative = bool(self._if("-"))
        if self._next.kind == "number":
            return self._number(negative)
        if self._next.kind == "text" and not negative:
            return self._constant(self._next.text[1:-1])
        return self._refuse(f"a term expected, found {self._next.text}")

    def _named(self) -> Term:
        token = self._take()
        if token.text in _CONSTANTS:
            return _CONSTANTS[token.text]
        if token.text in AGGREGATES and self._if("("):
            of = self._term()
            self._expect(")")
            if isinstance(of, Variable) and not of.anonymous:
                return Aggregate(token.text, of)
            raise PolicyError(f"{token.text} is of a variable", self._place(token.start), f"such as {token.text}(x)")
        if ":" in token.text:
            raise PolicyError(f"{token.text} is no variable", self._place(token.start), "text stands in quotes")
        if token.text == "_":
            self._unnamed += 1
            return Variable(f"?{self._unnamed}")
        return Variable(token.text)

    def _number(self, negative: bool) -> Stored:
        written = self._next.text
        if written[:2].lower() in ("0x", "0o", "0b"):
            number: int | float = int(written, 0) if len(written) <= 70 else float("inf")
        elif written.isdigit():
            number = int(written) if len(written) <= 40 else float("inf")
        else:
            number = float(written)
        return self._constant(-number if negative else number)

    def _constant(self, value: object) -> Stored:
        try:
            constant = stored(value)
        except NoValue as why:
            self._refuse(str(why))
        self._take()
        return constant
