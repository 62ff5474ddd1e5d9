"""A stock image that writes below /run: `up` says what is missing, and then the image runs behind nginx."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.stack.program import Program

SITE = "blog.example.com"


@pytest.mark.once
def test_wordpress_runs_once_its_folder_is_a_tmpfs_as_the_failed_up_says(deployed: Program) -> None:
    deployed.set(
        "apps.blog",
        image=deployed.image("wordpress:6"), port=80, user="33:33", memory=512,
        volumes={"html": "/var/www/html"},
    )  # fmt: skip
    deployed.site(SITE, app="blog", tls="none")
    said = deployed.up(fails=True).output
    assert [line for line in said.splitlines() if "tmpfs" in line and "/run/apache2" in line], said
    assert "WordPress" not in deployed.page("/wp-admin/setup-config.php", site=SITE)

    deployed.set("apps.blog", tmpfs={"/run/apache2": 1})
    deployed.up()
    assert "WordPress" in deployed.page("/wp-admin/setup-config.php", site=SITE)
    deployed.preview("--expect-no-changes")
