"""The scan: compare what a host really shows to the world with what its settings declare.

`syn`, `connect`, `greetings`, `certificates` and `probe` use only the standard library. They are sent to
another machine as they are, to scan from there.
"""
