"""Tests on hosts with Docker 29, for features that Debian's Docker does not have.

`make e2e-docker29` runs these tests.
"""

from __future__ import annotations

from lab import docker29

collect_ignore_glob = [] if docker29.asked_for() else ["test_*.py"]
