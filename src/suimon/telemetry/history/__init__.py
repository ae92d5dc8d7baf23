"""Flow records kept and asked for: batches come in with the cloud's ports, rows and sums go out (docs/decisions/0046).

`tagging` says whose a record is, `segments` are the files on disk, `filters` the language of questions, `questions`
their answers. What holds always: a file that can be seen is whole, and a record is in one file.
"""
