"""What operators write, and what others push: rule books, files of facts, rows in JSON."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from suimon.api.policy import pushing
from suimon.api.wire import decoded
from suimon.enforcement import file_rows
from suimon.model.errors import BadRequest, Conflict
from suimon.model.fact_tables import Reading
from suimon.resources import fact_tables, rule_file, yaml_text
from tests.fuzz.parsers import Parser
from tests.resources.test_rule_file import GOOD

_READING_YAML = (yaml_text._composed, yaml_text._plain)
_COLUMNS = ("name", "site")


def text_parsers() -> list[Parser]:
    return [_rulebook(), _facts("csv", _CSV, file_rows._from_csv, file_rows._row, file_rows._real),
            _facts("yaml", _YAML, file_rows._from_yaml, *_READING_YAML), _pushed()]  # fmt: skip


def _rulebook() -> Parser:
    again = "{at: 2, do: {kind: port_block, lasts_h: 999}}"
    steps = ("{at: 2, do: {kind: quarantine, lasts_h: 1}}", f"{again}, {again}")
    changes = (
        *(("20}", "20"), ("kind: port_block", "kind: rate_limit"), ("port_min: 25", "port_min: 25, port_max: 3")),
        *(("rate_kbps: 10000", "rate_kbps: 1, rate_kpps: 1"), ("spam", "heavy"), ("lasts_h: 24", "lasts_h: 999")),
        *(("192.0.2.0/24", "nowhere"), ("everyone: true", "everyone: *all"), ("spam", "[[[[[[[[[[[[[[a]]"), ("3", "x")),
        *(("mass_mail", "mass_mail\n    role: victim"), ("kind: port_block", "kind: quarantine"), ("heavy", "!!int x")),
        *(("name: heavy", "name: heavy\n    name: light"), ("name: spam", "? [a]\n    : b"), ("protocol: tcp, ", "")),
        ("spam", "by-hand"),
        *(("lasts_h: 24}", f"lasts_h: 24}}\n    then: [{each}]") for each in steps),
    )
    asks, block = "detector: mass_mail", "kind: port_block, protocol: tcp, port_min: 25, "
    victim, nobody = f"{asks}\n    role: victim", GOOD.replace(block, "kind: quarantine, ")
    limit = "kind: packet_rate_limit, rate_kpps: 5, direction: ingress, "
    valid = ["", "3", "a: \0", nobody, nobody.replace(asks, victim), GOOD.replace(block, limit).replace(asks, victim)]
    valid += [GOOD, *(GOOD.replace(*change) for change in changes)]
    functions = (
        *(rule_file.read_rulebook, rule_file._doubts, rule_file._doubts_of, rule_file._doubt, rule_file._misled),
        rule_file._path,
        *_READING_YAML,
    )

    def parse(raw: bytes) -> object:
        return msgspec.json.encode(rule_file.read_rulebook(raw.decode(errors="replace")))

    return Parser(
        "rulebook", [text.encode() for text in valid], parse, (BadRequest,), functions, most_bytes=1 << 20, in_suite=300
    )


_CSV = (
    b"name,site,vlan:int,load:float,up:bool\ns1,A,7,0.5,true\ns2,B,,,false\n\n",
    *(b'\xef\xbb\xbfname,site\n"s,1","A\nB"\n', b"", b"a:text\n1\n", b"a:int\nx\n", b"a:float\ninf\n", b"a\n1,2\n"),
    *(b'a\n"x\n', b'a\n"x"y\n', b"a\n\0\n", b"a\n\xff\n", b"a:bool\nmaybe\n"),
)
_YAML = (
    b"- {name: s1, vlan: 7, load: .5, up: true, none: null}\n- {name: s2, vlan: 8, load: 1e3, up: no, none: ~}\n",
    *(
        b"",
        b"[]",
        b"a: 1",
        b"- 1",
        b"- {}",
        b"- {a: 1}\n- {b: 1}",
        b"- {a: [1]}",
        b"- {a: &x 1}\n- {a: *x}",
        b"- {? [a] : 1}",
    ),
    *(
        b"- {a: !!int x}",
        b"- {a: 2026-13-99}",
        b"- {a: .nan}",
        b"- {a: 0x1F}",
        b"- {a: 1, a: 2}",
        b"[" * 40,
        b"- {a: 1",
    ),
)


def _facts(kind: str, valid: tuple[bytes, ...], *functions: Callable[..., object]) -> Parser:
    def parse(raw: bytes) -> object:
        columns, rows = file_rows.table_of(f"racks.{kind}", raw)
        return _kept(Reading(source="rooms", name="racks", columns=columns, rows=rows))

    taken = (file_rows.table_of, *functions) if kind == "csv" else functions
    return Parser(f"facts.{kind}", list(valid), parse, (BadRequest,), taken, most_bytes=1 << 20)


def _pushed() -> Parser:
    valid = [
        *(
            b'[["s1", "A"], ["s2", null]]',
            b'[{"name": "s1", "site": true}, {"name": 1.5, "site": -7}]',
            b"[]",
            b"{}",
            b"1",
        ),
        *(
            b"[{}]",
            b"[[]]",
            b"[[1], {}]",
            b'[{"name": 1}]',
            b'[{"name": 1, "x y": 2}]',
            b'[["a", "b", "c"]]',
            b"[[[1], 2]]",
        ),
        *(b'[["a", 99999999999999999999]]', b'[["\\ud800", "\\u0000"]]', b'[["a", 1e400]]', b'[["a", 1e308]]', b"[1"),
        b'[["' + b"x" * (fact_tables.MOST_TEXT + 1) + b'", 1]]',
        b"[" + b"[" * 2000,
        b"[[" + b",".join(b"%d" % n for n in range(fact_tables.MOST_COLUMNS + 1)) + b"]]",
    ]

    def parse(raw: bytes) -> object:
        # A table that has columns, or none yet; one that can't be.
        known = _COLUMNS if raw.startswith(b" ") else ()
        name = "no name" if raw.endswith(b"\n") else "racks"
        return _kept(pushing.reading_of("lab", name, known, decoded(raw)))

    functions = (pushing.reading_of, pushing._by_name, fact_tables._checked)
    valid += [b'[["a", 18446744073709551615]]', b"[[1, 2]]\n", b'[{"a b": 1}]', b'[{"a": 1, "b": null}]']
    valid += [b" " + each for each in valid]
    return Parser("facts.json", valid, parse, (BadRequest, Conflict), functions, most_bytes=1 << 20)


def _kept(reading: Reading) -> bytes:
    return ",".join(fact_tables._checked(reading)).encode()
