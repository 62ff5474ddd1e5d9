"""Each failure is one clear message with host, resource and cause.

After the repair the next `up` succeeds.
"""

from __future__ import annotations

import dataclasses
import re
import time
from typing import TYPE_CHECKING

import pytest

from lab import keys
from tests.e2e.host.watch import agents, on_host, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.pytest_lab import Host
    from tests.e2e.project import Outcome, Project

MOTD = 'File("motd", host="web1", path="/etc/motd", content="{}\\n", adopt=True)'
NGINX = """
web = Packages("web", host="web1", names=["nginx"])
File("site", host="web1", path="/etc/nginx/conf.d/e2e.conf", test=["nginx", "-t"], content="{}",
     opts=pulumi.ResourceOptions(depends_on=[web]))
"""


def told_once(outcome: Outcome, *parts: str) -> None:
    """Assert that a failure is told by one message, which has these parts.

    The engine itself prints the message of a failed refresh twice, so equal ones count as one.
    """
    outcome.has(*parts)
    messages = {
        " ".join(message.split())
        for message in re.findall(
            r"error: (?:Preview failed: )?(web1: .*?)(?=\n *\n|\n *error: |\nResources:)",
            outcome.error,
            re.DOTALL,
        )
    }
    assert len(messages) == 1, outcome.output
    assert not re.search(
        r"error: (?!web1: |Preview failed: web1: |update failed|preview failed)", outcome.error
    ), outcome.output


@pytest.fixture
def login(module_host: Host) -> Iterator[Callable[[str], str]]:
    """Return a function that makes a user with these sudoers lines.

    These users are removed after the test.
    """
    made: list[str] = []

    def make(sudoers: str) -> str:
        name = f"deploy{len(made)}"
        made.append(name)
        module_host.run(
            f"useradd -m -s /bin/bash {name} && install -d -o {name} -m 700 /home/{name}/.ssh && "
            f"install -o {name} -m 600 /root/.ssh/authorized_keys /home/{name}/.ssh/"
        )
        if sudoers:
            module_host.write(f"/etc/sudoers.d/{name}", sudoers.format(name) + "\n")
        return name

    yield make
    for name in made:
        module_host.run(
            f"pkill -KILL -u {name}; userdel -rf {name}; rm -f /etc/sudoers.d/{name}", check=False
        )


def test_a_host_that_is_down_is_named_and_up_finishes_when_it_is_back(
    project: Project, module_host: Host
) -> None:
    project.program(MOTD.format("one")).up()
    project.program(MOTD.format("two"))
    module_host.run("systemctl stop ssh.service")
    try:
        down, unseen = project.up(fails=True), project.preview(fails=True)
    finally:
        module_host.run("systemctl start ssh.service")
    for told in (down, unseen):
        told_once(
            told,
            'web1: File "motd" (/etc/motd): not reachable',
            "Connection refused",
            "→ check that the host is up",
        )
    project.up()
    assert module_host.read("/etc/motd") == "two\n"


def test_a_host_that_does_not_answer_is_told_for_many_resources(project: Project, module_host: Host) -> None:
    many = 'for n in range(12): File(f"f{n}", host="web1", path=f"/etc/many-{n}", content="x\\n")'
    project.program(many, address="198.51.100.199")
    project.up(fails=True).has("not reachable: 198.51.100.199 port 22: No route to host")
    project.program(many).up()
    assert module_host.run("ls /etc | grep -c ^many-").stdout == "12\n"
    project.destroy()


def test_another_host_key_than_the_pinned_one_is_refused(project: Project, module_host: Host) -> None:
    project.program(MOTD.format("three"), host_key=keys.public_host_key("a-stranger"))
    refused = project.up(fails=True)
    told_once(
        refused,
        'web1: File "motd" (/etc/motd): the host shows another host key than the pinned one',
        "hostKey",
    )
    project.program(MOTD.format("three")).up()
    assert module_host.read("/etc/motd") == "three\n"
    project.destroy()


def test_another_system_than_the_declared_one_is_refused_before_any_change(
    project: Project, module_host: Host
) -> None:
    before = module_host.read("/etc/motd")
    project.program(MOTD.format("system"), os="debian-12")
    told_once(
        project.up(fails=True), "web1: ", 'File "motd"', "os: the host runs debian-13", "write os: debian-13"
    )
    assert module_host.read("/etc/motd") == before
    project.program(MOTD.format("system"), os="debian-13").up()
    project.program(MOTD.format("system"), os="debian-12")
    told_once(project.preview(fails=True), "the settings declare debian-12")
    project.program(MOTD.format("system")).preview()  # destroy reads the host before it runs the program
    project.destroy()


def test_a_key_that_is_not_let_in_is_named_as_such(project: Project) -> None:
    project.program(MOTD.format("x"), user="nobody-there")
    told_once(
        project.up(fails=True),
        'web1: File "motd" (/etc/motd): the host accepts none of our keys',
        "Permission denied",
    )


def test_a_login_without_sudo_is_refused_and_one_with_nopasswd_works(
    project: Project, module_host: Host, login: Callable[[str], str]
) -> None:
    user = login("")
    project.program(MOTD.format("by deploy"), user=user)
    told_once(
        project.up(fails=True), 'web1: File "motd" (/etc/motd): the login works, but sudo refuses', "NOPASSWD"
    )
    # Debian's sudo allocates a terminal for what it starts (use_pty): the conversation has to survive that.
    assert "use_pty" in module_host.read("/etc/sudoers")
    module_host.write(f"/etc/sudoers.d/{user}", f"{user} ALL=(ALL) NOPASSWD: ALL\n")
    project.up()
    assert module_host.read("/etc/motd") == "by deploy\n"
    project.unchanged()
    project.destroy()
    wait_for("the agent to end", lambda: not agents(module_host))


def test_content_of_every_size_and_byte_survives_sudo(
    project: Project, module_host: Host, login: Callable[[str], str]
) -> None:
    user = login("{} ALL=(ALL) NOPASSWD: ALL")
    project.program(
        """
        odd = "".join(chr(n) for n in range(1, 256)) + "\\u2028\\U0001f600"
        File("odd", host="web1", path="/etc/odd", content=odd)
        File("long", host="web1", path="/etc/long", content="x" * 99_999 + "\\n")
        """,
        user=user,
    ).up()
    project.unchanged()
    assert module_host.run("sha256sum < /etc/long; wc -c < /etc/long").stdout.split()[-1] == "100000"
    project.destroy()


def test_first_contact_goes_by_the_bootstrap_login(
    project: Project, module_host: Host, login: Callable[[str], str]
) -> None:
    project.program(MOTD.format("first contact"), user="deploy0", port=2222, bootstrap_user="root",
                    bootstrap_port=22).up()  # fmt: skip
    assert module_host.read("/etc/motd") == "first contact\n"
    login("{} ALL=(ALL) NOPASSWD: ALL")

    def comes_as(user: str, text: str) -> None:
        since = module_host.run("date +%s").stdout.strip()
        project.program(MOTD.format(text), user="deploy0", bootstrap_user="root").up()
        logins = module_host.run(
            "journalctl --sync; "
            f"journalctl -q -o cat -t sshd-session -t sshd -g 'Accepted publickey' --since @{since}"
        ).stdout
        assert f"for {user}" in logins.splitlines()[-1], logins

    # Who was let in is remembered, or fail2ban would count a try as deploy0 in each run until they exist.
    comes_as("root", "second contact")
    # Without that memory, as in a fresh clone, the declared login is the one that is used once it works.
    for memory in project.folder.glob(".portcullis/*/*.first-contact"):
        memory.unlink()
    comes_as("deploy0", "third contact")
    project.destroy()


def test_a_full_disk_is_named_and_nothing_half_written_is_left(project: Project, module_host: Host) -> None:
    host = module_host
    host.run("mkdir /srv/small && mount -t tmpfs -o size=64k tmpfs /srv/small && echo old > /srv/small/file")
    project.program(
        'File("big", host="web1", path="/srv/small/file", content="x" * 90_000 + "\\n", adopt=True)'
    )
    full = project.up(fails=True)
    told_once(full, 'web1: File "big" (/srv/small/file)', "no space left", "/srv/small")
    assert host.run("ls -A /srv/small; cat /srv/small/file").stdout == "file\nold\n"
    host.run("mount -o remount,size=1m /srv/small")
    project.up()
    assert host.run("wc -c < /srv/small/file").stdout == "90001\n"
    project.destroy()
    host.run("umount /srv/small && rmdir /srv/small")


def test_a_full_disk_under_the_agents_own_state_is_named(project: Project, module_host: Host) -> None:
    host = module_host
    host.run(
        "mkdir -p /var/lib/portcullis && mount -t tmpfs -o size=32k tmpfs /var/lib/portcullis && "
        "{ head -c 1m /dev/zero > /var/lib/portcullis/filler 2>/dev/null; true; }"
    )
    project.program(MOTD.format("x"))
    told_once(project.up(fails=True), 'web1: File "motd" (/etc/motd)', "no space left")
    host.run("umount /var/lib/portcullis")
    project.up()
    project.destroy()


def test_an_unknown_package_is_named(project: Project, module_host: Host) -> None:
    project.program('Packages("tools", host="web1", names=["tree", "no-such-package"])')
    told_once(
        project.up(fails=True), 'web1: Packages "tools"', "the host's package sources have no no-such-package"
    )
    assert module_host.run("command -v tree", check=False).stdout == "", (
        "no package of the set may be installed"
    )
    project.program('Packages("tools", host="web1", names=["tree"])').up()
    project.destroy()


def test_a_configuration_that_nginx_refuses_is_taken_back_with_its_message(
    project: Project, module_host: Host
) -> None:
    host = module_host
    project.program(NGINX.format("server { listen 8088; }\\n")).up()
    project.program(NGINX.format("server { lisssten 8088; }\\n"))
    refused = project.up(fails=True)
    told_once(
        refused, 'web1: File "site" (/etc/nginx/conf.d/e2e.conf): content: nginx -t refuses',
        'unknown directive "lisssten"', "in /etc/nginx/conf.d/e2e.conf:1",
    )  # fmt: skip
    assert host.read("/etc/nginx/conf.d/e2e.conf") == "server { listen 8088; }\n"
    assert host.run("ls -A /etc/nginx/conf.d").stdout == "e2e.conf\n"
    host.run(["nginx", "-t"])
    project.program(NGINX.format("server { listen 8089; }\\n")).up()
    project.unchanged()
    project.destroy()
    # From nothing, a refused file is not there afterwards.
    project.program(NGINX.format("server { lisssten 8088; }\\n")).up(fails=True)
    assert host.run("ls -A /etc/nginx/conf.d").stdout == ""
    project.program("").up()


# The agent ends a file's test after 60 s. So the deployment has six files, each with a test of 50 s.
AT_WORK = """
waits = ["sh", "-c", "for i in $(seq 250); do [ -e /run/e2e-go ] && exit; sleep 0.2; done"]
before = []
for number in range(6):
    opts = pulumi.ResourceOptions(depends_on=before)
    path = f"/etc/slow-{number}"
    before = [File(f"slow-{number}", host="web1", path=path, content="x\\n", test=waits, opts=opts)]
"""


def test_a_second_deployment_at_the_same_time_is_refused_with_the_owners_name(
    make_project: Callable[..., Project], module_host: Host
) -> None:
    first, second = make_project(), make_project()
    first.program(AT_WORK)
    second.program(MOTD.format("second"))
    begun = time.monotonic()
    under_way = first.start("up", "--yes", "--skip-preview")
    wait_for("the first deployment to be at work", lambda: on_host(module_host, "e2e-go"))
    refused = second.up(fails=True)
    told_once(refused, 'web1: File "motd" (/etc/motd)', "is deploying to this host", "→ wait until")
    refused.has(f"(stack {first.name}/e2e, since 20", "(pid ")
    module_host.run("touch /run/e2e-go")
    assert first.finish(under_way, "up", begun).code == 0
    second.up()
    assert module_host.read("/etc/motd") == "second\n"
    first.destroy()
    second.destroy()


def test_a_unit_that_does_not_stay_up_is_told_with_its_journal(project: Project, module_host: Host) -> None:
    unit = """
        unit = File("unit", host="web1", path="/etc/systemd/system/e2e.service", content=f'''[Service]
        ExecStart=/bin/sh -c "{}"
        [Install]
        WantedBy=multi-user.target
        '''.replace("        ", ""))
        Service("e2e", host="web1", unit="e2e.service", reads=[unit])
    """
    project.program(unit.format("echo the reason >&2; sleep 0.2; exit 3"))
    told_once(
        project.up(fails=True), 'web1: Service "e2e" (e2e.service)', "does not keep running", "the reason"
    )
    project.program(unit.format("exec sleep infinity")).up()
    assert module_host.run("systemctl is-active e2e").stdout == "active\n"
    project.unchanged()
    project.destroy()
    assert module_host.run("systemctl cat e2e", check=False).returncode != 0


def test_a_host_without_python_gets_it_by_up_and_preview_says_what_is_missing(
    make_project: Callable[..., Project], make_host: Callable[[], Host]
) -> None:
    host = make_host()
    project = make_project(host).program(MOTD.format("one"))
    project.up()
    host.run("apt-get -qy purge 'python3*' 'libpython3*'; ! command -v python3")
    told_once(project.preview(fails=True), 'web1: File "motd" (/etc/motd): python3 is missing', "pulumi up")
    # Its state is on the host: a stack with no refresh before it, as at first contact, finishes.
    project.program(MOTD.format("two"))
    project.up("--refresh=false")
    assert host.read("/etc/motd") == "two\n"
    project.unchanged()


def test_apts_lock_held_by_somebody_is_told_with_their_name(
    make_project: Callable[..., Project], make_host: Callable[[], Host]
) -> None:
    host = make_host()
    project = make_project(host).program('Packages("tools", host="web1", names=["tree"])')
    holder = (
        "import fcntl, os, time; fd = os.open('/var/lib/dpkg/lock-frontend', os.O_RDWR | os.O_CREAT, 0o640);"
        "fcntl.lockf(fd, fcntl.LOCK_EX); open('/run/held', 'w').close(); time.sleep(600)"
    )
    host.run(["systemd-run", "-q", "--unit=holder", "python3", "-c", holder])
    wait_for("the lock to be held", lambda: host.run("test -e /run/held", check=False).returncode == 0)
    refused = project.up(fails=True)
    told_once(refused, 'web1: Packages "tools"', "did not release apt's lock within 60 s")
    assert re.search(r"python3\S* \(process \d+\)", refused.output), refused.output
    host.run(["systemctl", "stop", "holder"])
    project.up()
    assert host.run("command -v tree").stdout == "/usr/bin/tree\n"


def test_a_part_of_the_connection_that_cannot_be_one_is_told_by_the_program(project: Project) -> None:
    with pytest.raises(ValueError, match="port: 70000 is not a TCP port"):
        dataclasses.replace(project.connection, port=70000)
