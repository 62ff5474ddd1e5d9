"""The usual stack on Debian 12, which has an older Docker and an older nginx."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.stack import snapshot
from tests.e2e.stack.program import RESOURCES, SITE_FILE, Program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lab.pytest_lab import Host


@pytest.fixture
def bookworm(tmp_path: Path, make_host: Callable[[str], Host]) -> Iterator[Program]:
    made = Program(tmp_path / "program", make_host("bookworm"), os="debian-12")
    yield made
    made.close()


def test_up_page_drift_and_destroy_on_debian_12(bookworm: Program) -> None:
    host = bookworm.host
    assert 'VERSION_ID="12"' in host.read("/etc/os-release")
    host.reboot()
    bare = snapshot.take(host)
    bookworm.up().has(f"+ {RESOURCES} created")
    for address in (host.address, host.address6):
        assert "Hello from a container" in bookworm.page(address=address)
    bookworm.preview("--expect-no-changes")
    bookworm.up().has(f"{RESOURCES} unchanged")
    bookworm.unchanged()

    host.run(f"sed -i 's|listen 80;|listen 81;|' {SITE_FILE}; nginx -s reload")
    bookworm.preview().has("- listen 81;", "+ listen 80;")
    bookworm.up()
    assert "Hello from a container" in bookworm.page()
    bookworm.unchanged()

    bookworm.destroy().has(f"- {RESOURCES} deleted")
    left = snapshot.differences(bare, snapshot.take(host))
    assert not (unlisted := snapshot.unlisted(left, "debian-12")), unlisted
