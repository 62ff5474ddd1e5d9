"""Excludes the long torture drill from all runs except `make torture`."""

from tests.e2e.torture import draw

collect_ignore = [] if draw.KILLS else ["test_kills.py"]
