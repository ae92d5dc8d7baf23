"""Does any test notice? Breaks the product in one place at a time and runs the tests that ought to fail.

`python -m tests.mutants` tries all mutants, `--sample` a few of each kind, `--only NAME` one, `--only 'gate:*'` all of
that kind; `--list` names them. The exit code is 1 when a mutant survived, that is: when no test noticed. `kinds` finds
the places, `trial` runs the tests.
"""
