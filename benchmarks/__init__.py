"""Compares the time of a drift check with the time that other tools need for it: `make bench`.

The results are in docs/benchmarks.md.
"""
