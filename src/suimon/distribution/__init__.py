"""The change log cut into views: which host must know what, told once as a snapshot and ever after as deltas.

In comes the store (its rows, its change log, its wake-up after a commit) and, from each host, a position that it holds.
Out go frames of `model.view`, on the hosts' own listener. `cli` starts it; `api` asks how the hosts are.

What always holds: a snapshot at one revision and the deltas to another make the snapshot at that other, across lost
connections, truncated logs and restarts of the controller; a host is told what its bound ports need and nothing else;
nothing a host claims decides what it is told. A change costs by the hosts it concerns: it is read and encoded once.

    distribution the component: what hosts ask for, answered
    application  HTTP
    scopes       which scopes a host holds, in one statement
    objects      rows into objects of the view
    difference   log entries and scopes, before and after, into what to tell
    links        the open streams, and who of them holds a scope
    dispatch     the one task that follows the log
    admission    how many snapshots a second
    inquiry      what a host is asked about its switch, and its answers
    missed       what a host misses, told to another controller than its stream's
    presence     what the hosts reported last, and their streams, of all controllers
    clock        what time it is, though the machine's clock is set
"""
