"""What guests send, mutated from valid messages: whatever the bytes are, a parser gives a value or its declared error.

`python -m tests.fuzz` puts 100,000 inputs to each parser and says which share of its branches they took.
"""
