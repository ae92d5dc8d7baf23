"""Chaos: parts of a cloud are killed and cut at random under traffic and changes (`python -m tests.chaos`)."""
