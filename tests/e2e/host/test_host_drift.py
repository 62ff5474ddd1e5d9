"""A preview shows each change by hand with its property and line. `up` repairs it and reloads the service."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.host.watch import wait_for
from tests.e2e.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.pytest_lab import Host

PROGRAM = """
def after(*things):
    return pulumi.ResourceOptions(depends_on=list(things))

web = Packages("web", host="web1", names=["nginx", "tree"])
site = File("site", host="web1", path="/etc/nginx/conf.d/e2e.conf", test=["nginx", "-t"], opts=after(web),
            content='''\\
server {
    listen 8088;
    root /srv/pages;
    location = /hello { return 200 "hello"; }
}
''')
pages = Tree("pages", host="web1", path="/srv/pages", source="pages")
data = Directory("data", host="web1", path="/srv/data", mode="0750", group="www-data", opts=after(web))
service = Service("nginx", host="web1", unit="nginx.service", reads=[site, web])
"""
CONF = "/etc/nginx/conf.d/e2e.conf"


@pytest.fixture(scope="module")
def standing(module_host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Deploy a stack to a host. The tests of this file change and repair the host."""
    project = Project(tmp_path_factory.mktemp("drift") / "drift", module_host, name="drift")
    (project.folder / "pages").mkdir()
    (project.folder / "pages" / "index.html").write_text("declared\n")
    project.program(PROGRAM).up()
    yield project
    project.close()


@pytest.fixture
def mended(standing: Project) -> Iterator[Callable[[], None]]:
    """Return a function that repairs the host by an `up`, and checks that everything is as declared."""
    host = standing.host
    done = False

    def mend() -> None:
        nonlocal done
        standing.up()
        done = True
        standing.unchanged()
        # The reload of nginx returns before the new workers serve.
        wait_for("nginx to serve the declared page", lambda: served(host) == "hello")
        assert host.run("curl -sS http://127.0.0.1:8088/").stdout == "declared\n"
        assert host.run(f"stat -c '%F %a %U %G' {CONF} /srv/data").stdout == (
            "regular file 644 root root\ndirectory 750 root www-data\n"
        )
        assert host.run("systemctl is-active nginx; systemctl is-enabled nginx").stdout == "active\nenabled\n"
        assert host.run("ls -A /srv/pages/").stdout == "index.html\n"
        assert host.run("command -v tree && command -v nginx").stdout == "/usr/bin/tree\n/usr/sbin/nginx\n"

    yield mend
    if not done:  # after a failed test, the next test also starts with a repaired host
        standing.up()


def reloads(host: Host) -> int:
    """Return how often systemd has reloaded nginx."""
    host.run(["journalctl", "--sync"])
    said = host.run("journalctl -q --no-pager -o cat -u nginx MESSAGE_ID=7b05ebc668384222baa8881179cfda54")
    return said.stdout.count("Reloaded")


def served(host: Host) -> str:
    return host.run("curl -s http://127.0.0.1:8088/hello", check=False).stdout


def test_an_edited_line_is_shown_and_mended_and_the_running_service_follows(
    standing: Project, mended: Callable[[], None]
) -> None:
    host = standing.host
    host.run(f'sed -i \'s/"hello"/"tampered"/\' {CONF} && systemctl reload nginx')
    wait_for("nginx to serve the edit", lambda: served(host) == "tampered")
    before = reloads(host)
    standing.preview().has(
        "File: (refresh)",
        '+ location = /hello { return 200 "tampered"; }',
        "File: (update)",
        '- location = /hello { return 200 "tampered"; }',
        '+ location = /hello { return 200 "hello"; }',
        "Service: (update)",
        "~ 2 to update",
    )
    mended()
    assert reloads(host) == before + 1


def test_a_repair_by_hand_leaves_the_service_stale_and_up_reloads_it(
    standing: Project, mended: Callable[[], None]
) -> None:
    host = standing.host
    host.run(f'cp -p {CONF} /root/kept && sed -i \'s/"hello"/"tampered"/\' {CONF} && systemctl reload nginx')
    wait_for("nginx to serve the edit", lambda: served(host) == "tampered")
    host.run(f"cp -p /root/kept {CONF}")
    before = reloads(host)
    standing.preview().has("Service: (update)", "~ stale: true => false", "~ 1 to update").lacks(
        "File: (update)"
    )
    mended()
    assert reloads(host) == before + 1


def test_several_changes_at_once_are_all_shown_and_mended_by_one_up(
    standing: Project, mended: Callable[[], None]
) -> None:
    host = standing.host
    host.run(
        f"echo '# mine' >> {CONF}; chmod 0666 {CONF}; chown www-data:adm {CONF}; apt-get remove -qy tree;"
        " echo extra > /srv/pages/extra.html; echo tampered > /srv/pages/index.html;"
        " chmod 0777 /srv/data; chown nobody /srv/data"
    )
    before = reloads(host)
    standing.preview().has(
        "- # mine",
        '~ mode : "0666" => "0644"', '~ group: "adm" => "root"', '~ owner: "www-data" => "root"',
        '- tree: "installed"', '+ tree : "installed"',
        "- extra.html:", "~ index.html:",
        '~ mode : "0777" => "0750"', '~ owner: "nobody" => "root"',
        "~ stale: false => true", "~ stale : true => false",
    ).lacks("nginx : ")  # fmt: skip
    mended()
    assert reloads(host) == before + 1


def test_things_that_are_gone_come_back_and_a_link_in_their_place_is_not_followed(
    standing: Project, mended: Callable[[], None]
) -> None:
    host = standing.host
    host.run(f"cp {CONF} /root/elsewhere && ln -sf /root/elsewhere {CONF}; rm -r /srv/data /srv/pages")
    host.run("systemctl disable nginx; systemctl kill -s KILL --kill-whom=all nginx")
    state = "systemctl is-active nginx"
    wait_for("nginx to fail", lambda: host.run(state, check=False).stdout == "failed\n")
    standing.preview().has(
        "<a symbolic link to /root/elsewhere>", "+ listen 8088;",
        '~ mode: "<absent>" => "0750"', "+ index.html:",
        'active : "failed" => "active"', 'enabled: "disabled" => "enabled"',
    )  # fmt: skip
    host.run("echo '# beyond the link' >> /root/elsewhere")
    mended()
    assert "# beyond the link" in host.read("/root/elsewhere")


def test_refresh_alone_takes_drift_into_the_state_and_up_mends_it_after(
    standing: Project, mended: Callable[[], None]
) -> None:
    standing.host.run(f"chmod 0600 {CONF}")
    standing.refresh().has('~ mode : "0644" => "0600"')
    standing.preview().has('~ mode : "0600" => "0644"').lacks("content")
    mended()


def test_destroy_after_drift_still_gives_the_host_back(standing: Project) -> None:
    host = standing.host
    host.run(
        f"rm {CONF}; systemctl mask --now nginx; echo extra > /srv/pages/extra; echo data > /srv/data/mine"
    )
    standing.destroy()
    assert host.run("ls -R /var/lib/portcullis /srv/pages", check=False).stdout == ""
    assert host.read("/srv/data/mine") == "data\n"
    assert host.run("command -v nginx; command -v tree", check=False).stdout == ""
