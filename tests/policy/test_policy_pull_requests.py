"""The pack stops each of some typical unsafe pull requests, with a clear message."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.policy.policy_stack import lab, prod

if TYPE_CHECKING:
    from pathlib import Path

    from tests.policy.policy_stack import Checkout


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    return lab(tmp_path)


def stopped(checkout: Checkout, config: dict[str, Any], *policies: str) -> str:
    """Check a change that exactly these policies must stop, and return the message on one line."""
    done = checkout.check(config)
    assert done.returncode == 1, done.stdout + done.stderr
    assert set(re.findall(r"^stop +(\S+)$", done.stdout, re.MULTILINE)) == set(policies), done.stdout
    said = " ".join(done.stdout.split())
    assert said.count("Why: ") == said.count("Fix: ") == len(policies), "once a policy"
    return said


@pytest.mark.parametrize("stack", ["lab", "prod"])
def test_the_stacks_of_this_repository_pass(stack: str, checkout: Checkout, tmp_path: Path) -> None:
    done = checkout.check(lab(tmp_path) if stack == "lab" else prod())
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.fullmatch(r"\d+ resources checked: 0 stop the stack, 0 warn, 0 exempt\.\n", done.stdout)
    assert int(done.stdout.split()[0]) > (100 if stack == "lab" else 50)


def test_a_change_of_settings_that_publishes_a_database(checkout: Checkout, config: dict[str, Any]) -> None:
    config["portcullis:hosts"]["web1"]["firewall"] = {"public": {"27017/tcp": {}}}
    said = stopped(checkout, config, "no-open-database-port")
    assert "web1-firewall-policy: opens port 27017 (MongoDB) to the whole Internet." in said
    assert "web1-firewall-forward: lets the whole Internet reach the container port 27017 (MongoDB)." in said
    assert "Let people reach a store through portcullis:tunnels" in said


def test_a_change_of_code_that_publishes_a_database(checkout: Checkout, config: dict[str, Any]) -> None:
    checkout.edit("components/containers/component.py", "ip=bind, internal", 'ip="0.0.0.0", internal')
    said = stopped(checkout, config, "no-public-bind")
    assert "mongo-container: publishes port 27017 on 0.0.0.0." in said
    assert "ufw does not stop ports that Docker publishes" in said


def test_a_change_that_drops_authentication_of_mongodb(checkout: Checkout, config: dict[str, Any]) -> None:
    checkout.edit("components/mongodb/component.py", '                    "--auth",\n', "")
    said = stopped(checkout, config, "store-must-authenticate")
    assert (
        "mongo-container: starts MongoDB without --auth: everybody who reaches the server may read and "
        "delete" in said
    )


def test_a_change_that_drops_authentication_of_redis(checkout: Checkout, config: dict[str, Any]) -> None:
    checkout.edit("components/redis/render.py", "aclfile {FOLDER}/{ACL}\n", "")
    said = stopped(checkout, config, "store-must-authenticate")
    assert "redis-config: declares no users" in said


def test_a_change_that_allows_passwords_for_ssh(checkout: Checkout, config: dict[str, Any]) -> None:
    checkout.edit(
        "components/ssh/render/sshd.py",
        '_Option("PasswordAuthentication", "no", ',
        '_Option("PasswordAuthentication", "yes", ',
    )
    said = stopped(checkout, config, "ssh-without-passwords")
    assert "web1-ssh-server: lets people log in with a password (passwordauthentication yes)." in said
    assert "Why: Machines guess passwords all day long." in said


def test_a_change_that_allows_tunnel_devices(checkout: Checkout, config: dict[str, Any]) -> None:
    checkout.edit(
        "components/ssh/render/sshd.py", '_Option("PermitTunnel", "no", ', '_Option("PermitTunnel", "yes", '
    )
    assert "weakens SSH: permittunnel yes" in stopped(checkout, config, "ssh-stays-narrow")


def test_a_change_that_lets_a_tunnel_reach_everything(checkout: Checkout, config: dict[str, Any]) -> None:
    checkout.edit("components/tunnels/render/tunnel.py", """f'permitopen="{target}"'""", "f'no-pty'")
    said = stopped(checkout, config, "tunnels-are-limited")
    assert "web1-tunnel-alice-account: lets the key generated reach every port of the host" in said


def test_a_change_that_removes_the_filter(checkout: Checkout, config: dict[str, Any]) -> None:
    firewall = "components/firewall/component.py"
    text = (checkout.folder / firewall).read_text()
    declared = re.search(r"        self\.forward = ForwardFilter\(.*?\n        \)\n", text, re.DOTALL)
    assert declared
    checkout.write(firewall, text.replace(declared[0], "        self.forward = packages\n"))
    said = stopped(checkout, config, "host-has-filter")
    assert "the host web1 runs containers but has no forward filter (ForwardFilter)" in said
    assert "Docker forwards packets past ufw" in said


def test_a_change_that_removes_a_line_of_the_filter(checkout: Checkout, config: dict[str, Any]) -> None:
    comment = 'comment "a port that is not public, or the address of a container"'
    line = f"        f'\\t\\t{{bridge_out}} counter drop {comment}',\n"
    checkout.edit("components/firewall/render/forward_filter.py", line, "")
    said = stopped(checkout, config, "filter-closes-dockers-bypass")
    assert "web1-firewall-forward: does not stop packets from outside to a container's own address." in said


def test_a_change_that_removes_the_firewall_of_the_host(checkout: Checkout, config: dict[str, Any]) -> None:
    firewall = "components/firewall/component.py"
    checkout.edit(
        firewall, "            rules=ufw_rules.rules(args, web=web),\n", "            enabled=False,\n"
    )
    assert "web1-firewall-policy: switches ufw off." in stopped(
        checkout, config, "firewall-denies-by-default"
    )


def test_a_change_that_trusts_any_host_key(checkout: Checkout, config: dict[str, Any]) -> None:
    web1 = config["portcullis:hosts"]["web1"]
    del web1["hostKey"]
    web1["trustHostKey"] = True
    said = stopped(checkout, config, "host-key-pinned")
    assert "web1: trusts the host key of web1 without a pinned key (trusted on first use)." in said


def test_a_change_that_serves_a_site_without_tls(checkout: Checkout, config: dict[str, Any]) -> None:
    config["portcullis:sites"]["shop.example.com"]["tls"] = "none"
    said = stopped(checkout, config, "site-has-tls")
    assert "web1-nginx-shop.example.com: serves the site shop.example.com without TLS." in said


def test_a_change_that_lets_browsers_forget_https(checkout: Checkout, config: dict[str, Any]) -> None:
    config["portcullis:sites"]["shop.example.com"]["hsts"] = {"maxAge": 300}
    assert "lets browsers forget HTTPS after 300 s" in stopped(checkout, config, "hsts-floor")


def test_a_change_that_puts_a_secret_into_the_environment(checkout: Checkout, config: dict[str, Any]) -> None:
    config["portcullis:apps"]["api"]["env"] = {"STRIPE_API_KEY": "0123456789"}
    said = stopped(checkout, config, "no-secret-in-plain-sight")
    assert "api-container: has a secret in the environment variable STRIPE_API_KEY." in said
    assert "0123456789" not in said


def test_a_change_that_would_delete_data(checkout: Checkout, config: dict[str, Any]) -> None:
    checkout.edit("components/containers/component.py", "retain_on_delete=True", "retain_on_delete=False")
    said = stopped(checkout, config, "data-volume-protected")
    assert "the volume redis-data and its data are deleted with the resource." in said
