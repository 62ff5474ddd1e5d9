"""A preview reports undeclared files of nginx, fail2ban and sshd, keys of root, and networks."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.e2e.project import STACK

if TYPE_CHECKING:
    from tests.e2e.stack.program import Program

PAGE = "Hello from a container"
NGINX_CONF = "/etc/nginx/nginx.conf"
DROP_IN = "/etc/ssh/sshd_config.d/99-evil.conf"
# Commands that change the host by hand, and the line that the next preview has to show.
STRANGERS = {
    "a-virtual-host": (
        "echo 'server { listen 80; server_name evil.example.com; }' > /etc/nginx/conf.d/evil.conf",
        "/etc/nginx/conf.d/evil.conf: nobody declared it; nginx loads it: serves evil.example.com on 80",
    ),
    "a-mode-of-nginx.conf": (
        f"chmod 777 {NGINX_CONF}; chown games {NGINX_CONF}",
        f"{NGINX_CONF}: belongs to games:root, mode 0777, where 0644 is usual",
    ),
    "a-line-in-nginx.conf": (
        f"echo '# by hand' >> {NGINX_CONF}",
        f"{NGINX_CONF}: changed by hand: not as nginx-common brings it",
    ),
    "nginx.conf-by-a-link": (
        f"mv {NGINX_CONF} /srv/; ln -s /srv/nginx.conf {NGINX_CONF}",
        f"{NGINX_CONF}: a link, where nginx-common brings a file, to /srv/nginx.conf",
    ),
    "nginx.conf-is-gone": (f"rm {NGINX_CONF}", f"{NGINX_CONF}: gone; nginx-common brings it"),
    "a-jail": (
        "printf '[evil]\\nenabled = false\\n' > /etc/fail2ban/jail.d/evil.conf",
        "/etc/fail2ban/jail.d/evil.conf: nobody declared it; sets [evil]",
    ),
    "a-filter": (
        "echo '# by hand' >> /etc/fail2ban/filter.d/sshd.conf",
        "/etc/fail2ban/filter.d/sshd.conf: changed by hand: not as fail2ban brings it",
    ),
    "a-match-block-of-sshd": (
        "printf 'Match User games\\n  X11Forwarding yes\\n' > /etc/ssh/sshd_config.d/99-evil.conf",
        f"{DROP_IN}: nobody declared it; sets x11forwarding yes for Match User games",
    ),
    "a-match-block-of-sshd_config": (
        "printf 'Match User games\\n  X11Forwarding yes\\n' >> /etc/ssh/sshd_config",
        "/etc/ssh/sshd_config: changed by hand: not as its package brings it; sets x11forwarding yes",
    ),
    "sshd_config-is-gone": (
        "rm /etc/ssh/sshd_config",
        "/etc/ssh/sshd_config: gone; its package brings it; sshd does not start without it",
    ),
}


def test_nothing_of_a_fresh_host_is_a_stranger(deployed: Program) -> None:
    deployed.preview("--expect-no-changes").lacks("strangers")


def test_root_has_no_key_once_the_deploy_user_has_logged_in(deployed: Program) -> None:
    keys = deployed.host.run("grep -v '^#' /root/.ssh/authorized_keys; true").stdout
    assert keys.strip() == ""


def report(program: Program) -> dict[str, str]:
    """Return what `portcullis preview` tells: each line, with what can be done about it."""
    said = subprocess.run(
        [sys.executable, "-m", "portcullis", "preview", "--stack", STACK, "--json"],
        cwd=program.folder, env=program.env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False, timeout=600,
    )  # fmt: skip
    found = json.loads(said.stdout)
    assert not found["errors"], found["errors"]
    return {f"{one['subject']}: {one['what']}": one["remedy"] for one in found["differences"]}


@pytest.mark.parametrize("edit", STRANGERS)
def test_a_stranger_is_told_and_stays_until_somebody_pastes_what_its_line_says(
    deployed: Program, edit: str
) -> None:
    by_hand, told = STRANGERS[edit]
    path = told.partition(": ")[0]
    deployed.host.run(by_hand)
    remedies = report(deployed)
    (remedy,) = [remedies.pop(line) for line in list(remedies) if line.startswith(told)]
    refused = [line for line in remedies if line.startswith(("nginx: open() ", "sshd: refused"))]
    assert list(remedies) == refused, "nothing else is told"
    if not refused:
        before = deployed.host.run(f"stat -c '%a %u %s %N' {path}").stdout
        deployed.up().has(told, remedy)
        assert deployed.host.run(f"stat -c '%a %u %s %N' {path}").stdout == before, "it stays"
    command = remedy.partition("yourself: ")[2]
    assert command, remedy
    deployed.host.run(command)
    assert report(deployed) == {}, f"after {command}"


def test_a_reload_that_fails_after_a_change_by_hand_names_that_change_first(deployed: Program) -> None:
    deployed.host.run(f"sed -i 's/^events {{/evnts {{/' {NGINX_CONF}")
    said = f'unknown directive "evnts" in {NGINX_CONF}:'
    # The engine escapes the quotes in a text.
    shown = said.replace('"', '\\"')
    deployed.preview("--expect-no-changes", fails=True).has(shown, "changed by hand")
    error = deployed.up(fails=True).error
    first, found = error.find(f"{NGINX_CONF} was changed by hand"), error.find(said)
    assert 0 <= first < found, error
    assert PAGE in deployed.page(), "nginx still serves with its loaded configuration"
    deployed.host.run(f"sed -i 's/^evnts {{/events {{/' {NGINX_CONF}")
    deployed.up()
    deployed.preview("--expect-no-changes")


def test_a_container_s_networks_are_mended_while_it_runs(deployed: Program) -> None:
    before = deployed.inspect()["Id"], deployed.inspect()["State"]["StartedAt"]
    deployed.docker("network", "connect", "bridge", "hello")
    deployed.preview("--expect-no-changes", fails=True).has("bridge")
    deployed.up()
    now = deployed.inspect()
    assert list(now["NetworkSettings"]["Networks"]) == ["hello"]
    assert (now["Id"], now["State"]["StartedAt"]) == before
    deployed.docker("network", "disconnect", "hello", "hello")
    deployed.up()
    assert list(deployed.inspect()["NetworkSettings"]["Networks"]) == ["hello"]
    assert PAGE in deployed.page()
    deployed.preview("--expect-no-changes")
