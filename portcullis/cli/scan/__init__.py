"""The gate: what a host really answers to the world, beside what its settings declare.

`syn`, `connect`, `greetings`, `certificates` and `probe` use the standard library alone: they are sent to
another host as they are, to ask from there.
"""
