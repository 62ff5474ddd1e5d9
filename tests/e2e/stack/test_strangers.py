"""What nobody declared, in the folders of nginx, fail2ban and sshd; root's keys; a container's networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.stack.program import Program

PAGE = "Hello from a container"
NGINX_CONF = "/etc/nginx/nginx.conf"
DROP_IN = "/etc/ssh/sshd_config.d/99-evil.conf"
# What somebody does, what the next preview has to show, and how it is taken back.
STRANGERS = {
    "a-virtual-host": (
        "echo 'server { listen 80; server_name evil.example.com; }' > /etc/nginx/conf.d/evil.conf",
        "/etc/nginx/conf.d/evil.conf: nobody declared it; nginx loads it: serves evil.example.com on 80",
        "rm /etc/nginx/conf.d/evil.conf",
    ),
    "a-mode-of-nginx.conf": (
        f"chmod 777 {NGINX_CONF}",
        f"{NGINX_CONF}: mode 0777, where 0644 is usual",
        f"chmod 644 {NGINX_CONF}",
    ),
    "a-jail": (
        "printf '[evil]\\nenabled = false\\n' > /etc/fail2ban/jail.d/evil.conf",
        "/etc/fail2ban/jail.d/evil.conf: nobody declared it; sets [evil]",
        "rm /etc/fail2ban/jail.d/evil.conf",
    ),
    "a-filter": (
        "echo '# by hand' >> /etc/fail2ban/filter.d/sshd.conf",
        "/etc/fail2ban/filter.d/sshd.conf: changed by hand: not as its package brings it",
        "sed -i '/^# by hand$/d' /etc/fail2ban/filter.d/sshd.conf",
    ),
    "a-match-block-of-sshd": (
        "printf 'Match User games\\n  X11Forwarding yes\\n' > /etc/ssh/sshd_config.d/99-evil.conf",
        f"{DROP_IN}: nobody declared it; sets x11forwarding yes for Match User games",
        "rm /etc/ssh/sshd_config.d/99-evil.conf",
    ),
}


def test_nothing_of_a_fresh_host_is_a_stranger(deployed: Program) -> None:
    deployed.preview("--expect-no-changes").lacks("strangers")


def test_root_has_no_key_once_the_deploy_user_has_logged_in(deployed: Program) -> None:
    keys = deployed.host.run("grep -v '^#' /root/.ssh/authorized_keys; true").stdout
    assert keys.strip() == ""


@pytest.mark.parametrize("edit", STRANGERS)
def test_a_stranger_is_told_stays_and_is_told_again_until_it_is_gone(deployed: Program, edit: str) -> None:
    by_hand, told, back = STRANGERS[edit]
    path, _, text = told.partition(": ")
    deployed.host.run(by_hand)
    deployed.preview("--expect-no-changes", fails=True).has(path, text)
    deployed.up().has(f"{told}. It stays: remove it yourself")
    assert deployed.host.run(f"test -e {path} && echo there").stdout == "there\n"
    deployed.host.run(back)
    deployed.up()
    deployed.preview("--expect-no-changes")


def test_a_reload_that_fails_after_a_change_by_hand_names_that_change_first(deployed: Program) -> None:
    deployed.host.run(f"sed -i 's/^events {{/evnts {{/' {NGINX_CONF}")
    said = f'unknown directive "evnts" in {NGINX_CONF}:'
    # The engine shows a text with its quotes escaped.
    shown = said.replace('"', '\\"')
    deployed.preview("--expect-no-changes", fails=True).has(shown, "changed by hand")
    error = deployed.up(fails=True).error
    first, found = error.find(f"{NGINX_CONF} was changed by hand"), error.find(said)
    assert 0 <= first < found, error
    assert PAGE in deployed.page(), "what was loaded before is still served"
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
