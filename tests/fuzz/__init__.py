"""Tests that generate their input, which can be hostile. They check what must be true for every input.

`make test` runs a few examples of each property, always the same examples. `make fuzz` runs many examples, by
a seed that it prints.
"""
