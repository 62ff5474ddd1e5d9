"""The rendered files of backups, compared with golden files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from portcullis.components.backups import render as backup

if TYPE_CHECKING:
    from tests.golden.conftest import Golden

STORES = {
    "redis": {"kind": "redis", "container": "redis", "append_only": True},
    "mongo": {"kind": "mongo", "container": "mongo", "tls": "/run/secrets/ca.crt"},
}


def test_units_of_backups(golden: Golden) -> None:
    golden("portcullis-backup.service", backup.service("web1-backup-service"))
    local = backup.service("web1-backup-service", restic=True, local="/srv/restic")
    golden("portcullis-backup.restic.service", local)
    golden("portcullis-backup.timer", backup.timer("web1-backup-timer", "03:30"))


def test_what_the_job_reads(golden: Golden) -> None:
    golden("backup.json", backup.settings(14, STORES, None))
    golden("backup.restic.json", backup.settings(14, STORES, "web1"))
    golden("portcullis-backup", backup.launcher("web1-backup-program"))


def test_the_environment_of_restic_is_a_line_each_and_a_fault_quotes_no_value() -> None:
    assert backup.environment({"B": "2 3", "A": "x=y"}) == "A=x=y\nB=2 3\n"
    with pytest.raises(ValueError, match="'KEY'") as caught:
        backup.environment({"KEY": "hidden\nLD_PRELOAD=/tmp/x"})
    assert "hidden" not in str(caught.value)
