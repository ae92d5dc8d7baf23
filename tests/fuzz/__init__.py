"""What guests and exporters send and operators write, mutated: any bytes give a value or the declared error.

`python -m tests.fuzz` puts 100,000 inputs to each parser and says which share of its branches they took.
"""
