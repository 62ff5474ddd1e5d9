"""Generated tests: properties of parsers, renderers and the protocol, and hostile input.

`make test` runs a few examples of each, always the same ones. `make fuzz` runs many, by a seed that it prints.
"""
