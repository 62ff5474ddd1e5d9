"""The firewall closes a bare real host. A preview shows every change of it by hand."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lab.pytest_lab import Host, Lab

# Another resource declares the rule for SSH. Here the test writes the rule by hand, after ufw is installed.
BEFORE = """
packages = Packages("ssh-packages", host="web1", names=["ufw"], on_delete="purge")
"""
PROGRAM = (
    BEFORE
    + """
from portcullis.components import Firewall, FirewallArgs
from portcullis.host import Host

Firewall("web1-firewall", FirewallArgs(deny={"any from 203.0.113.66": "scanner"}),
         host=Host("web1", "SYSTEM"), web=True, opts=pulumi.ResourceOptions(depends_on=[packages]))
"""
)
SSH_RULE = "ufw allow 22/tcp comment 'portcullis ssh'"
SERVER = (
    "import http.server as h, socket, sys\n"
    "class S(h.ThreadingHTTPServer):\n"
    "    address_family = socket.AF_INET6\n"
    "S(('::', int(sys.argv[1])), h.SimpleHTTPRequestHandler).serve_forever()\n"
)


def deployed(host: Host, project: Project, system: str) -> Project:
    """Deploy the firewall to a bare host."""
    project.program(BEFORE).up()
    host.run(SSH_RULE)
    project.program(PROGRAM.replace("SYSTEM", system)).up()
    return project


def listen(host: Host, *ports: int) -> None:
    host.write("/srv/server.py", SERVER)
    for port in ports:
        host.run(
            f"systemd-run -q --unit=listener-{port} --property=WorkingDirectory=/srv python3 server.py {port}"
        )
    deadline = time.monotonic() + 60
    while any(host.run(f"curl -sm 2 http://[::1]:{port}/", check=False).returncode for port in ports):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def reached(lab: Lab, host: Host, port: int) -> tuple[bool, bool]:
    """Return whether the neighbour gets an answer over IPv4, and over IPv6."""
    answers = [
        lab.at(
            "neighbour", "curl", "-s", "-o", "/dev/null", "-m", "2", f"http://{address}:{port}/"
        ).returncode
        for address in (host.address, f"[{host.address6}]")
    ]
    return answers[0] == 0, answers[1] == 0


@pytest.fixture(scope="module")
def standing(module_host: Host, lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Deploy the firewall to a host. The tests change and repair the firewall."""
    listen(module_host, 80, 3306)
    assert reached(lab, module_host, 3306) == (True, True)  # otherwise the closed port would prove nothing
    project = Project(tmp_path_factory.mktemp("ufw") / "ufw", module_host, name="ufw")
    with contextlib.closing(project):
        yield deployed(module_host, project, "debian-13")


@pytest.fixture
def mended(standing: Project, lab: Lab) -> Iterator[Callable[[], None]]:
    """Return a function that repairs the host by an `up`. The function checks that the host is closed."""
    host, done = standing.host, False

    def mend() -> None:
        nonlocal done
        standing.up()
        done = True
        standing.unchanged()
        assert reached(lab, host, 80) == (True, True)
        assert reached(lab, host, 3306) == (False, False)

    yield mend
    if not done:  # after a failed test, the next test also starts with a repaired host
        standing.up()


@pytest.mark.once
def test_a_bare_host_is_closed_but_for_what_is_declared(standing: Project, lab: Lab) -> None:
    host = standing.host
    assert reached(lab, host, 80) == (True, True)
    assert reached(lab, host, 3306) == (False, False)
    standing.unchanged()
    assert host.run("systemctl is-active ufw; systemctl is-enabled ufw").stdout == "active\nenabled\n"
    assert host.run("ufw status | grep -c 'portcullis ssh'").stdout == "2\n"
    assert host.run("systemctl list-timers --all | grep -c portcullis", check=False).stdout == "0\n"


def test_ufw_leaves_kernel_parameters_of_others_alone(standing: Project) -> None:
    host = standing.host
    host.run("sysctl -qw net.ipv4.conf.all.log_martians=1 && ufw reload")
    names = "net.ipv4.conf.all.log_martians net.netfilter.nf_conntrack_tcp_be_liberal"
    assert host.run(f"sysctl -n {names}").stdout == "1\n1\n"


def test_rules_that_were_added_changed_or_deleted_are_shown_one_line_each(
    standing: Project, mended: Callable[[], None]
) -> None:
    standing.host.run(
        "ufw allow 3306/tcp; ufw route allow in on eth0 out on docker0 to 172.17.0.2 port 80 proto tcp;"
        "ufw deny 443/tcp; ufw delete allow proto tcp from ::/0 to any port 80; ufw allow OpenSSH;"
        "ufw delete deny from 203.0.113.66; ufw deny from 203.0.113.66 comment scanner"
    )
    standing.preview().has(
        '- in 3306/tcp : "allow"',
        '- route 80/tcp in on eth0 out on docker0 to 172.17.0.2: "allow"',
        '~ in 443/tcp : "deny" => "allow # HTTPS"',
        '- in 80/tcp (v4) : "allow # HTTP and certificates"',
        '+ in 80/tcp : "allow # HTTP and certificates"',
        '- in 22/tcp app OpenSSH: "allow"',
        # The rule exists, but comes too late to have an effect.
        "in any from 203.0.113.66 (deny) comes after in 22/tcp (allow)",
        "~ 1 to update",
    ).lacks("portcullis ssh", "live", "- in any")
    mended()
    assert "203.0.113.66" in standing.host.run("ufw status numbered | grep -F '[ 1]'").stdout


def test_changed_settings_and_an_edited_rule_file_of_the_package_are_shown(
    standing: Project, mended: Callable[[], None], lab: Lab
) -> None:
    host = standing.host
    rule = "-A ufw6-before-input -p tcp --dport 3306 -j ACCEPT"
    host.run(f"sed -i '/^COMMIT/i {rule}' /etc/ufw/before6.rules && ufw reload")
    assert reached(lab, host, 3306) == (False, True)
    host.run("ufw default allow incoming; ufw logging high; sed -i s/IPV6=yes/IPV6=no/ /etc/default/ufw")
    assert reached(lab, host, 3306) == (True, True)
    standing.preview().has(
        '~ incoming: "allow" => "deny"', '~ logging: "high" => "low"', '~ IPV6: "no" => "yes"',
        '- before6.rules: "changed"',
    )  # fmt: skip
    mended()
    assert rule not in host.read("/etc/ufw/before6.rules")


# For each command: the lines of the preview, and whether port 3306 is open over IPv4, and over IPv6.
BEHIND = {
    # The command adds the SSH rule again, so that the preview can log in.
    "iptables -F ufw-user-input; iptables -A ufw-user-input -p tcp --dport 22 -j ACCEPT;"
    "ip6tables -P INPUT ACCEPT; ip6tables -I ufw6-user-input -p tcp --dport 3306 -j ACCEPT": (
        [
            "ufw-user-input lacks",
            "ip6tables: the policy of INPUT is ACCEPT",
            "ufw6-user-input has the extra rule -p tcp",
        ],
        (False, True),
    ),
    # A reload of ufw repairs neither of the two chains.
    "iptables -P INPUT ACCEPT; iptables -F INPUT; ip6tables -I INPUT -p tcp --dport 3306 -j ACCEPT": (
        ["INPUT lacks -j ufw-before-logging-input and more", "a rule in INPUT bypasses ufw: -p tcp"],
        (True, True),
    ),
}


@pytest.mark.parametrize("command", BEHIND)
def test_what_was_done_to_the_kernels_rules_behind_ufw_is_shown(
    standing: Project, mended: Callable[[], None], lab: Lab, command: str
) -> None:
    shown, is_open = BEHIND[command]
    standing.host.run(command)
    assert reached(lab, standing.host, 3306) == is_open
    standing.preview().has(*shown, '=> "ok"', "~ 1 to update")
    mended()


@pytest.mark.parametrize("command", ["ufw disable", "systemctl disable --now ufw"])
def test_a_firewall_that_was_switched_off_is_shown_and_comes_back(
    standing: Project, mended: Callable[[], None], lab: Lab, command: str
) -> None:
    host = standing.host
    host.run(command)
    assert reached(lab, host, 3306) == (True, True)
    standing.preview().has(
        '"disabled" => "enabled"' if "systemctl" in command else "~ enabled: false => true"
    )
    mended()


@pytest.mark.once
def test_a_rule_that_shuts_us_out_is_taken_back(standing: Project, lab: Lab) -> None:
    # A rule for one interface: the agent cannot know beforehand whether our connection uses the interface.
    text = PROGRAM.replace("SYSTEM", "debian-13").replace('"any from 203.0.113.66"', '"any on eth0"')
    outcome = standing.program(text).up(fails=True)
    outcome.has('web1: UfwPolicy "web1-firewall-policy"', "a fresh login failed", "the change was taken back")
    standing.program(PROGRAM.replace("SYSTEM", "debian-13")).unchanged()
    assert reached(lab, standing.host, 80) == (True, True)


@pytest.mark.once
def test_a_rule_too_many_does_not_leave_the_host_open_when_a_change_is_taken_back(
    standing: Project, mended: Callable[[], None], lab: Lab
) -> None:
    standing.host.run("iptables -I INPUT -p udp --dport 9 -j ACCEPT")
    text = PROGRAM.replace("SYSTEM", "debian-13").replace('"any from 203.0.113.66"', '"any on eth0"')
    standing.program(text).up(fails=True).has("the change was taken back")
    assert reached(lab, standing.host, 80) == (True, True)
    assert reached(lab, standing.host, 3306) == (False, False)
    standing.program(PROGRAM.replace("SYSTEM", "debian-13"))
    mended()


@pytest.mark.once
def test_it_stays_closed_over_a_reboot(standing: Project, lab: Lab) -> None:
    host = standing.host
    host.reboot()
    listen(host, 80, 3306)
    assert reached(lab, host, 80) == (True, True)
    assert reached(lab, host, 3306) == (False, False)
    standing.unchanged()


def test_without_the_firewall_the_host_is_as_it_was(standing: Project, lab: Lab) -> None:
    host = standing.host
    standing.program(BEFORE).up()
    assert reached(lab, host, 3306) == (True, True)
    assert host.run("ufw status").stdout == "Status: inactive\n"
    assert host.run("ufw show added | tail -n +2").stdout == "ufw allow 22/tcp comment 'portcullis ssh'\n"
    standing.destroy()
    assert host.run("ls -d /etc/ufw/*.rules /var/lib/portcullis", check=False).stdout == ""


def test_debian_12(make_module_host: Callable[..., Host], lab: Lab, tmp_path: Path) -> None:
    host = make_module_host("bookworm")
    listen(host, 80, 3306)
    with contextlib.closing(Project(tmp_path / "ufw12", host, name="ufw12")) as project:
        deployed(host, project, "debian-12").unchanged()
        assert reached(lab, host, 80) == (True, True)
        assert reached(lab, host, 3306) == (False, False)
        host.run("ufw allow 3306/tcp; ip6tables -P INPUT ACCEPT")
        project.preview().has('- in 3306/tcp: "allow"', "ip6tables: the policy of INPUT is ACCEPT")
        project.up()
        project.unchanged()
        assert reached(lab, host, 3306) == (False, False)
        project.destroy()
        assert reached(lab, host, 3306) == (True, True)
