"""What Debian's Docker cannot do: these tests are of hosts with Docker 29, of `make e2e-docker29`."""

from __future__ import annotations

from lab import docker29

collect_ignore_glob = [] if docker29.asked_for() else ["test_*.py"]
