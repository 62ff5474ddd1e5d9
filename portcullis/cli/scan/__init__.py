"""The scan: compare the open ports and certificates of a host with its settings.

The modules `syn`, `connect`, `greetings`, `certificates` and `probe` use only the standard library. For a
scan from another machine, these modules are sent to that machine unchanged.
"""
