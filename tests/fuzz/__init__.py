"""What guests and exporters send, mutated from valid messages: any bytes give a value or the declared error.

`python -m tests.fuzz` puts 100,000 inputs to each parser and says which share of its branches they took.
"""
