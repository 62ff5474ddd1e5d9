"""A stock image that writes below /run: `up` says what is missing, and then the image runs behind nginx."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.stack.program import Program

SITE = "blog.example.com"
FOLDER = re.compile(r"(/var)?/run/apache2")


@pytest.mark.once
def test_wordpress_runs_once_its_folder_is_a_tmpfs_as_the_failed_up_says(deployed: Program) -> None:
    deployed.set(
        "apps.blog",
        image=deployed.image("wordpress:6"), port=80, user="33:33", memory=512,
        volumes={"html": "/var/www/html"},
    )  # fmt: skip
    deployed.site(SITE, app="blog", tls="none")
    said = deployed.up(fails=True).output
    told = [found for line in said.splitlines() if "tmpfs" in line and (found := FOLDER.search(line))]
    assert told, said
    assert "WordPress" not in deployed.page("/wp-admin/setup-config.php", site=SITE)

    deployed.set("apps.blog", tmpfs={told[0][0]: 1})
    deployed.up()
    assert "WordPress" in deployed.page("/wp-admin/setup-config.php", site=SITE)
    deployed.preview("--expect-no-changes")
