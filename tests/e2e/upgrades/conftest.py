"""Excludes these long tests from all runs except `make upgrade`."""

from __future__ import annotations

from tests import drill

collect_ignore_glob = [] if drill.is_whole() else ["test_*.py"]
