"""Policy: clauses in Datalog over facts, what follows from them, and why. Pure.

In come policies' clauses (text) and facts (rows of tables, a change at a time); out goes the difference that each
change made: rows that appeared and vanished, and actions that are now called for. `engine.Engine` is what others use.
It always holds that what is derived is what the clauses say of the facts, however these came and in whatever order,
and that a change which is refused leaves nothing behind.
"""
