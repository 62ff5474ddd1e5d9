"""What takes long: `make upgrade` runs it, and no other run of the tests does."""

from __future__ import annotations

from tests import drill

collect_ignore_glob = [] if drill.is_whole() else ["test_*.py"]
