"""`pulumi import` takes existing things of a host into a stack, and changes nothing on the host."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.pytest_lab import Host
    from tests.e2e.project import Outcome, Project

NONE = "pass\n"
PROGRAM = """
unprotected = pulumi.ResourceOptions(protect=False)
File("motd", host="web1", path="/etc/imported", content="by hand\\n", owner="nobody", mode="0604")
Directory("data", host="web1", path="/srv/imported", owner="root", group="www-data", mode="0750")
Service("cron", host="web1", unit="cron.service")
"""
THINGS = {
    "motd": ("File", "/etc/imported"),
    "data": ("Directory", "/srv/imported"),
    "cron": ("Service", "cron.service"),
}


# The language host that `make setup` builds writes no code, so the import generates none.
# tests/provider/test_import.py checks the code that an official language host writes.
def taken_in(project: Project, name: str, kind: str, thing: str, *, fails: bool = False) -> Outcome:
    return project.run(
        "import", "--yes", "--skip-preview", "--protect=false", "--generate-code=false",
        f"portcullis:index:{kind}", name, f"web1:{thing}", fails=fails,
    )  # fmt: skip


def test_what_is_imported_is_as_it_was_and_needs_no_change(project: Project, module_host: Host) -> None:
    host = module_host
    host.run(
        "printf 'by hand\\n' > /etc/imported; chmod 0604 /etc/imported; chown nobody:root /etc/imported; "
        "mkdir -m 0750 /srv/imported; chgrp www-data /srv/imported"
    )
    project.program(NONE).preview()  # writes the ssh_config
    told = {name: taken_in(project, name, *thing) for name, thing in THINGS.items()}
    for outcome in told.values():
        outcome.has("1 imported").lacks("failed to validate")

    project.program(PROGRAM)
    project.unchanged()
    project.up().has("4 unchanged").lacks("updated", "created")
    assert host.run("stat -c '%a %U' /etc/imported /srv/imported").stdout == "604 nobody\n750 root\n"
    host.write("/etc/imported", "something else\n")
    project.preview().has("- something else", "+ by hand")

    # Nothing of it was ever ours, so nothing is taken away.
    project.refresh()
    project.destroy()
    assert host.read("/etc/imported") == "something else\n"
    assert host.run("systemctl is-active cron").stdout == "active\n"


def test_an_import_that_cannot_be_says_why_and_what_to_do(project: Project, module_host: Host) -> None:
    del module_host
    project.program(NONE).preview()
    taken_in(project, "a", "File", "/etc/not-there", fails=True).has("does not exist")
    taken_in(project, "b", "Tree", "/srv/www", fails=True).has(
        "Tree cannot be imported", "→ declare it with adopt=True"
    )
    state = json.loads(project.run("stack", "export").output)["deployment"].get("resources") or []
    assert not [found for found in state if found["type"].startswith("portcullis:")]
