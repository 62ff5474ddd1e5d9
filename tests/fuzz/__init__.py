"""What no writer of a test thought of: properties of parsers, renderers and the protocol, and hostile input.

`make test` runs a few examples of each, always the same; `make fuzz` runs many, by a seed that it prints.
"""
