"""Flow records kept and asked for: batches come in with the cloud's ports, rows and sums go out (docs/decisions/0046).

`tagging` says whose a record is, `filters` is the language of questions, `questions` are their answers. What keeps
records is an engine: `segments`, files on disk, or `clickhouse`, a server (docs/decisions/0059). What holds always: a
file that can be seen is whole, and a record is in one file.
"""
