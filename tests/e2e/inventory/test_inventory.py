"""A preview shows files, programs and packages that people change by hand on a finished host, by name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.e2e.host.watch import cursor, journal

if TYPE_CHECKING:
    from tests.e2e.stack.program import Program

WALK = "systemctl start portcullis-inventory.service"

# For each change: its command, the words in the preview, and the command that undoes it.
DEEDS = {
    "cron": ("echo '* * * * * root true' > /etc/cron.d/evil", "/etc/cron.d/evil", "rm /etc/cron.d/evil"),
    "crontab": (
        "echo '* * * * * true' > /var/spool/cron/crontabs/deploy",
        "/var/spool/cron/crontabs/deploy",
        "rm /var/spool/cron/crontabs/deploy",
    ),
    "vhost": (
        "echo 'server { listen 80; server_name evil; }' > /etc/nginx/conf.d/evil.conf",
        "/etc/nginx/conf.d/evil.conf",
        "rm /etc/nginx/conf.d/evil.conf",
    ),
    "nginx.conf-mode": (
        "chmod 777 /etc/nginx/mime.types",
        '/etc/nginx/mime.types: "mode 0777, where 0644 is usual',
        "chmod 644 /etc/nginx/mime.types",
    ),
    "conffile": (
        "echo '# more' >> /etc/nginx/mime.types",
        '/etc/nginx/mime.types: "changed by hand: not as nginx-common brings it',
        "sed -i '/^# more$/d' /etc/nginx/mime.types",
    ),
    "conffile-gone": (
        "mv /etc/nginx/koi-utf /srv/",
        '/etc/nginx/koi-utf: "gone; nginx-common brings it',
        "mv /srv/koi-utf /etc/nginx/",
    ),
    "hosts": (
        "cp /etc/hosts /srv/; echo '203.0.113.9 x' >> /etc/hosts",
        "/etc/hosts",
        "cat /srv/hosts > /etc/hosts",
    ),
    "preload": ("touch /etc/ld.so.preload", "/etc/ld.so.preload", "rm /etc/ld.so.preload"),
    "pam": (
        "sed -i '1i auth sufficient pam_permit.so' /etc/pam.d/common-auth",
        "/etc/pam.d/common-auth",
        "sed -i 1d /etc/pam.d/common-auth",
    ),
    "bashrc": ("echo true >> /root/.bashrc", "/root/.bashrc", "sed -i '$d' /root/.bashrc"),
    "ssh-rc": (
        "echo true > /home/deploy/.ssh/rc; chown deploy: /home/deploy/.ssh/rc",
        "/home/deploy/.ssh/rc",
        "rm /home/deploy/.ssh/rc",
    ),
    "wrapper": (
        "echo true > /usr/local/bin/ls; chmod 755 /usr/local/bin/ls",
        "/usr/local/bin/ls",
        "rm /usr/local/bin/ls",
    ),
    "in-usr-bin": ("touch /usr/bin/evil", "/usr/bin/evil", "rm /usr/bin/evil"),
    "apt-source": (
        "echo '# none' > /etc/apt/sources.list.d/evil.list",
        "/etc/apt/sources.list.d/evil.list",
        "rm /etc/apt/sources.list.d/evil.list",
    ),
    "modprobe": (
        "touch /etc/modprobe.d/evil.conf",
        "/etc/modprobe.d/evil.conf",
        "rm /etc/modprobe.d/evil.conf",
    ),
    "udev": (
        "mkdir -p /run/udev/rules.d; touch /run/udev/rules.d/evil.rules",
        "/run/udev/rules.d/evil.rules",
        "rm /run/udev/rules.d/evil.rules",
    ),
    "rc.local": ("echo true > /etc/rc.local", "/etc/rc.local", "rm /etc/rc.local"),
    "authority": (
        "touch /usr/local/share/ca-certificates/evil.crt",
        "/usr/local/share/ca-certificates/evil.crt",
        "rm /usr/local/share/ca-certificates/evil.crt",
    ),
    "alternative": (
        "ln -sfn /usr/bin/true /etc/alternatives/awk",
        "link to /usr/bin/true",
        "update-alternatives --auto awk; ln -sfn /usr/bin/mawk /etc/alternatives/awk",
    ),
    "unit-file": (
        "touch /etc/systemd/system/evil.service",
        "evil.service",
        "rm /etc/systemd/system/evil.service",
    ),
    "held": ("apt-mark hold nginx", "held at its version", "apt-mark unhold nginx"),
    "by-hand": ("apt-mark manual nginx-common", "nginx-common", "apt-mark auto nginx-common"),
    "setuid": (f"chmod u+s /usr/bin/cp; {WALK}", "/usr/bin/cp", "chmod u-s /usr/bin/cp"),
    "setuid-in-home": (
        f"cp /usr/bin/true /home/deploy/sh; chmod 4755 /home/deploy/sh; {WALK}",
        "/home/deploy/sh",
        "rm /home/deploy/sh",
    ),
    "program-changed": (
        f"cp /usr/bin/rev /srv/rev; printf x >> /usr/bin/rev; {WALK}",
        "/usr/bin/rev",
        f"cp /srv/rev /usr/bin/rev; rm /srv/rev; {WALK}",
    ),
    "code-of-nobody": (
        f"echo import os > /usr/lib/python3/dist-packages/evil.pth; {WALK}",
        "/usr/lib/python3/dist-packages/evil.pth",
        "rm /usr/lib/python3/dist-packages/evil.pth",
    ),
}


@pytest.fixture(scope="module")
def finished(deployed: Program) -> Program:
    """Return a finished host with an app and a site."""
    return deployed


def quiet(program: Program) -> None:
    """Assert that a preview finds no difference."""
    program.preview("--expect-no-changes").lacks("Inventory: (refresh)")


def test_a_finished_host_has_no_strangers(finished: Program) -> None:
    quiet(finished)
    kept = json.loads(finished.host.run("cat /var/lib/portcullis/inventory/baseline.json").stdout)
    assert kept["found"]["files"]
    assert set(finished.host.run("stat -c %a /var/lib/portcullis/inventory/*").stdout.split()) == {"600"}
    finished.host.run(WALK)
    quiet(finished)


@pytest.mark.parametrize("deed", DEEDS)
def test_what_is_changed_by_hand_shows_by_name(finished: Program, deed: str) -> None:
    does, shown, undone = DEEDS[deed]
    finished.host.run(f"set -e; {does}")
    try:
        said = finished.preview("--expect-no-changes", fails=True)
        said.has(shown)
    finally:
        finished.host.run(undone)


def test_what_was_undone_is_seen_no_more(finished: Program) -> None:
    finished.host.run("systemctl reload nginx")  # it has seen its files change
    quiet(finished)


def test_an_up_warns_and_deletes_nothing_and_an_acceptance_ends_it(finished: Program) -> None:
    finished.host.run("touch /etc/cron.d/provider")
    finished.up().has("warning: undeclared: file /etc/cron.d/provider: file 0644 root:root")
    finished.host.run("test -e /etc/cron.d/provider")
    finished.preview("--expect-no-changes", fails=True).has("/etc/cron.d/provider")
    finished.set("hosts.web1", inventory={"accept": {"file /etc/cron.d/provider": "tried for a day"}})
    finished.up()
    quiet(finished)
    finished.host.run("rm /etc/cron.d/provider")
    finished.preview("--expect-no-changes", fails=True).has("has no effect: remove it from inventory.accept")
    finished.set("hosts.web1", inventory=None)
    finished.up()
    quiet(finished)


def test_a_walk_that_is_too_old_is_told(finished: Program) -> None:
    result = "/var/lib/portcullis/inventory/walk.json"
    finished.host.run(f'sed -i \'s/"time": [0-9.]*/"time": 1/\' {result}')
    finished.preview("--expect-no-changes", fails=True).has("nightly walk", "days ago")
    since = cursor(finished.host)
    finished.host.run(WALK)
    assert "walked in " in journal(finished.host, since, "-u", "portcullis-inventory.service")
    quiet(finished)
