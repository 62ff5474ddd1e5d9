"""Host resources on a real host: the engine creates, updates, renames, moves and deletes them."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.pytest_lab import Host
    from tests.e2e.project import Project

SITE = """
web = Packages("web", host="web1", names=["nginx"], on_delete="purge")
site = File(
    "site", host="web1", path="/etc/nginx/conf.d/e2e.conf", test=["nginx", "-t"],
    content="server { listen 8088; location / { return 200 'GREETING'; } }\\n",
    opts=pulumi.ResourceOptions(depends_on=[web]),
)
data = Directory("data", host="web1", path="/srv/data", mode="0750", group="www-data",
                 opts=pulumi.ResourceOptions(depends_on=[web]))
pages = Tree("pages", host="web1", path="/srv/pages", source="pages")
motd = File("motd", host="web1", path="/etc/motd", content="managed\\n", mode="0640", adopt=True)
service = Service("nginx", host="web1", unit="nginx.service", reads=[site, web])
"""

# Everything on a host that has an effect. It leaves out the caches and logs of apt and dpkg, and the journal.
SNAPSHOT = r"""
cd /
find etc -xdev \( -type f -o -type l -o -type d \) -printf '%M %u %g %p %l\n' | sort
find etc -xdev -type f -print0 | sort -z | xargs -0 sha256sum
find srv usr/local var/lib/portcullis run/portcullis var/www opt home root -xdev \
    -printf '%M %u %g %p\n' 2>/dev/null | sort
dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\n'
apt-mark showauto | sort
getent passwd; getent group
systemctl list-unit-files --no-legend --no-pager | sort
systemctl list-units --no-legend --no-pager --plain --state=active --type=service,socket,timer |
    awk '{print $1}' | sort
ss -Htuln | awk '{print $1, $5}' | sort
nft list ruleset
"""

# What may stay after a destroy, with the reason.
EXCEPTIONS = (
    "run/portcullis",  # an empty lock file, which another deployment may hold
    "var/www",  # a purge of the package nginx leaves its page
    "user@0.service",  # systemd's unit for the login of the deployment
    "user-runtime-dir@0.service",  # the same
)


def snapshot(host: Host) -> list[str]:
    """Return the state of the host as lines, without the lines that contain one of `EXCEPTIONS`."""
    lines = host.run(SNAPSHOT).stdout.splitlines()
    return [line for line in lines if not any(exception in line for exception in EXCEPTIONS)]


def test_up_from_bare_then_nothing_to_do_and_destroy_gives_the_host_back(
    project: Project, module_host: Host
) -> None:
    host = module_host
    host.run("printf 'as it was\\n' > /etc/motd; chmod 0604 /etc/motd; chown nobody /etc/motd")
    before = snapshot(host)
    (project.folder / "pages" / "sub").mkdir(parents=True)
    (project.folder / "pages" / "index.html").write_text("<p>one</p>\n")
    (project.folder / "pages" / "sub" / "page.html").write_text("<p>two</p>\n")
    project.program(SITE.replace("GREETING", "hello"))

    project.up().has("+ 7 created")
    assert host.run("curl -sS http://127.0.0.1:8088/").stdout == "hello"
    assert host.run("stat -c '%a %U %G' /srv/data /etc/motd").stdout == "750 root www-data\n640 root root\n"
    assert host.run("cat /srv/pages/sub/page.html /etc/motd").stdout == "<p>two</p>\nmanaged\n"
    assert host.run("systemctl is-enabled nginx").stdout == "enabled\n"

    project.up().has("7 unchanged").lacks("updated", "created")
    project.unchanged()
    project.refresh().has("7 unchanged")

    project.destroy().has("- 7 deleted")
    after = snapshot(host)
    assert "\n".join(difflib.unified_diff(before, after, lineterm="", n=0)) == ""
    assert host.run("cat /etc/motd; stat -c '%a %U' /etc/motd").stdout == "as it was\n604 nobody\n"


def test_an_update_is_previewed_by_line_and_taken_up_by_the_service(
    project: Project, module_host: Host
) -> None:
    host = module_host
    (project.folder / "pages").mkdir()
    (project.folder / "pages" / "index.html").write_text("one\n")
    (project.folder / "pages" / "old.html").write_text("old\n")
    project.program(SITE.replace("GREETING", "hello")).up()
    project.program(SITE.replace("GREETING", "good morning").replace('mode="0640"', 'mode="0644"'))
    (project.folder / "pages" / "index.html").write_text("two\n")
    (project.folder / "pages" / "old.html").unlink()
    project.preview().has(
        "- server { listen 8088; location / { return 200 'hello'; } }",
        "+ server { listen 8088; location / { return 200 'good morning'; } }",
        '~ mode: "0640" => "0644"',
        "~ index.html",
        "- old.html",
        "~ 4 to update",
    )
    assert host.run("curl -sS http://127.0.0.1:8088/").stdout == "hello"
    master = host.run("cat /run/nginx.pid").stdout
    project.up().has("~ 4 updated")
    assert host.run("curl -sS http://127.0.0.1:8088/").stdout == "good morning"
    assert host.run("cat /run/nginx.pid").stdout == master, "it was restarted, a reload was enough"
    assert host.run("cat /srv/pages/index.html; ls /srv/pages").stdout == "two\nindex.html\n"
    project.unchanged()
    project.destroy()


def test_a_renamed_resource_keeps_its_file_and_its_original(project: Project, module_host: Host) -> None:
    host = module_host
    host.write("/etc/renamed", "the original\n")
    declared = 'File("{name}", host="web1", path="/etc/renamed", content="managed\\n", adopt=True{more})\n'
    project.program(declared.format(name="first", more="")).up()

    project.program(declared.format(name="second", more="")).up().has("+ 1 created", "- 1 deleted")
    assert host.read("/etc/renamed") == "managed\n"
    project.unchanged()

    alias = ', opts=pulumi.ResourceOptions(aliases=[pulumi.Alias(name="second")])'
    project.program(declared.format(name="third", more=alias))
    project.up().lacks("created", "deleted")
    assert host.read("/etc/renamed") == "managed\n"
    project.program(declared.format(name="third", more="")).unchanged()

    project.destroy()
    assert host.read("/etc/renamed") == "the original\n"


def test_renamed_packages_tree_directory_and_service_stay(project: Project, module_host: Host) -> None:
    host = module_host
    (project.folder / "pages").mkdir()
    (project.folder / "pages" / "a").write_text("a\n")
    declared = """
        Packages("{0}tools", host="web1", names=["tree"])
        Tree("{0}pages", host="web1", path="/srv/kept-tree", source="pages")
        Directory("{0}data", host="web1", path="/srv/kept")
        Service("{0}cron", host="web1", unit="cron.service")
    """
    project.program(declared.format("old-")).up()
    running = host.run("systemctl show -P InvocationID cron").stdout
    project.program(declared.format("new-")).up().has("+ 4 created", "- 4 deleted")
    assert host.run("command -v tree && cat /srv/kept-tree/a; ls -d /srv/kept").stdout.split() == [
        "/usr/bin/tree", "a", "/srv/kept",
    ]  # fmt: skip
    assert host.run("systemctl show -P InvocationID cron").stdout == running
    project.unchanged()
    project.destroy()
    assert host.run("command -v tree; ls -A /srv", check=False).stdout == ""
    assert host.run("systemctl is-active cron").stdout == "active\n"


def test_a_changed_path_moves_the_file_and_gives_the_old_place_back(
    project: Project, module_host: Host
) -> None:
    host = module_host
    host.write("/etc/place-one", "one\n")
    declared = 'File("it", host="web1", path="{}", content="managed\\n", adopt=True)'
    project.program(declared.format("/etc/place-one")).up()
    project.program(declared.format("/etc/place-two")).preview().has("+-1 to replace")
    project.up().has("+-1 replaced")
    assert host.read("/etc/place-one") == "one\n"
    assert host.read("/etc/place-two") == "managed\n"
    project.unchanged()
    project.destroy()
    assert host.run("cat /etc/place-one; ls /etc/place-two", check=False).stdout == "one\n"


def test_delete_restores_removes_or_keeps_as_declared(
    make_project: Callable[..., Project], module_host: Host
) -> None:
    host = module_host
    host.run("for way in restore remove keep; do echo original > /etc/on-$way; done")
    project = make_project().program("""
        for way in ("restore", "remove", "keep"):
            File(way, host="web1", path=f"/etc/on-{way}", content="managed\\n", adopt=True, on_delete=way)
        Directory("full", host="web1", path="/srv/full")
        Packages("names", host="web1", names=["tree", "sl"])
    """)
    project.up()
    host.write("/srv/full/data", "not ours\n")
    project.program("""
        Directory("full", host="web1", path="/srv/full")
        Packages("names", host="web1", names=["sl"])
    """).up().has("- 3 deleted", "~ 1 updated")
    assert host.run("cd /etc; grep . on-*").stdout == "on-keep:managed\non-restore:original\n"
    assert host.run(
        "dpkg-query -W -f '${Package} ${db:Status-Abbrev},' sl tree", check=False
    ).stdout.startswith("sl ii ,")
    assert host.run("command -v tree", check=False).returncode != 0
    project.destroy()
    assert host.read("/srv/full/data") == "not ours\n", "undeclared data must stay"
    assert host.run("ls /var/lib/portcullis", check=False).stdout == ""
