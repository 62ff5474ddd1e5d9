"""Follows the own-program tutorial in an empty folder, from the installed wheel to a deployed host."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from lab import acme as authorities
from lab import keys, machine, network, stack
from tests.docs.pages import README, blocks
from tests.e2e.project import CHECKOUT, PASSPHRASE, engine_environment
from tests.e2e.stack.workflow import Runner
from tests.package.installed import archives, install

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lab.pytest_lab import Host
    from tests.package.installed import Archives

__all__ = ["archives"]

SITE = "api.example.com"
LOCK = CHECKOUT / "requirements-dev.txt"
_ENGINES_OWN = ("PULUMI_RUN_PROGRAM", "PYTHONPATH")


class Shell:
    """A person's shell in a folder, with the environment activated. Nothing of the checkout is on a path."""

    def __init__(self, folder: Path, state: Path) -> None:
        self.folder = folder
        env = {**os.environ, **engine_environment()}
        ours = (str(CHECKOUT / "bin"), str(CHECKOUT / ".venv"))
        path = [one for one in env["PATH"].split(os.pathsep) if not one.startswith(ours)]
        self.env = {
            **{name: value for name, value in env.items() if name not in _ENGINES_OWN},
            "PATH": os.pathsep.join([str(folder / ".venv/bin"), *path]),
            "VIRTUAL_ENV": str(folder / ".venv"),
            "PULUMI_BACKEND_URL": state.as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
        }

    def run(self, line: str, *, code: int = 0) -> str:
        """Run a line; return what it printed."""
        done = subprocess.run(
            ["bash", "-c", line], cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=600,
        )  # fmt: skip
        assert done.returncode == code, f"{line} ended with {done.returncode}:\n{done.stdout}"
        assert "Traceback" not in done.stdout, done.stdout
        return done.stdout


@pytest.fixture
def shell(tmp_path: Path, archives: Archives) -> Shell:
    folder, state = tmp_path / "shop", tmp_path / "state"
    folder.mkdir()
    state.mkdir()
    install(archives, folder / ".venv")
    return Shell(folder, state)


def fill_in(program: Path, host: Host) -> None:
    """Write the facts of the lab host into the program, as a person does with the facts of a VPS."""
    authority = authorities.of(host.record)
    facts = {
        'address="203.0.113.10"': f'address="{host.address}"',
        "ssh-ed25519 AAAA…": host.host_key,
        "ghcr.io/acme/api@sha256:…": stack.fact("image hello:1"),
        "RedisArgs()": f'RedisArgs(image="{stack.fact("image redis:7")}")',
        # A lab host needs the path of its key and its own certificate authority. As a container it can set
        # neither all kernel settings nor the clock.
        "        stores=": f"""\
        identity_file="{host.identity_file}",
        acme=AcmeArgs(server="{authority.directory}", ca_bundle="{authority.bundle}"),
        kernel=KernelArgs(only=["net.ipv4.", "net.ipv6."]),
        upkeep=UpkeepArgs(time_sync=False),
        stores=""",
        "import AppArgs,": "import AcmeArgs, KernelArgs, UpkeepArgs, AppArgs,",
    }
    text = program.read_text()
    for theirs, ours in facts.items():
        assert text.count(theirs) == 1, theirs
        text = text.replace(theirs, ours)
    program.write_text(text)


def pipelines(shell: Shell, folder: Path) -> None:
    """Run the jobs that `init` wrote in a checkout without an environment, as on a fresh runner."""
    checkout, home = folder / "checkout", folder / "home"
    home.mkdir()
    ignored = (shell.folder / ".gitignore").read_text().replace("/", "").split()
    shutil.copytree(shell.folder, checkout, ignore=shutil.ignore_patterns(*ignored))
    # The tests must not depend on the day's versions of other packages.
    (home / "constraints").write_text("\n".join(re.findall(r"^\S+==\S+", LOCK.read_text(), re.MULTILINE)))
    path = shell.env["PATH"].replace(str(shell.folder / ".venv/bin"), "").strip(os.pathsep)
    given = {"PATH": path, "HOME": str(home), "PIP_CONSTRAINT": str(home / "constraints")}
    backend = shell.env["PULUMI_BACKEND_URL"]
    context = {
        "vars.PULUMI_BACKEND_URL": backend,
        "secrets.PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
        "secrets.DEPLOY_KEY": keys.client_key().read_text(),
    }
    runner = Runner(checkout, {**shell.env, **given, "SSH_AUTH_SOCK": ""}, context)
    code, printed = runner.github("preview", "check")
    assert (code, "1 passed" in printed) == (0, True), printed
    # With Pulumi Cloud, a program without settings has no such file.
    settings = (checkout / "Pulumi.prod.yaml").rename(home / "Pulumi.prod.yaml")
    code, printed = runner.github("preview", "fork")
    assert (code, "no differences in" in printed) == (0, True), printed
    settings.rename(checkout / "Pulumi.prod.yaml")
    code, printed = runner.github("deploy", "deploy")
    assert (code, "no differences in" in printed) == (0, True), printed


def test_the_twelve_lines_deploy_a_host(shell: Shell, make_host: Callable[[], Host], tmp_path: Path) -> None:
    # The environment is made, without an index, and activated.
    *_, init = blocks(README)[2]
    shell.run(init)
    host = make_host()
    fill_in(shell.folder / "__main__.py", host)
    shell.run("pulumi stack init prod")

    said = shell.run("portcullis plan")
    assert "~ web1: Packages web1-docker-packages" in said
    assert "0 stop the stack" in shell.run("portcullis policy")
    assert "api: new container" in shell.run("portcullis preview || [ $? -eq 2 ]")
    said = shell.run("portcullis up --yes --skip-preview")
    assert " done in " in said
    assert f"https://{SITE}" in said

    roots = tmp_path / "roots.pem"
    roots.write_text(authorities.of(host.record).roots())
    here = ["--connect-to", f"::{network.on_segment(host.record.number).v4}:", "--cacert", str(roots)]
    _, page = machine.fetch("internet", [*here, f"https://{SITE}/"])
    assert "Hello from a container" in page
    assert "no differences in" in shell.run("portcullis preview")
    look = f"ip netns exec {network.INTERNET} $(command -v portcullis) scan"
    assert "open ports and certificates are as declared" in shell.run(look)
    host.run("echo '# by hand' >>/etc/nginx/conf.d/api.example.com.conf")
    assert "-# by hand" in shell.run("portcullis preview --details || [ $? -eq 2 ]")
    assert "flowchart LR" in shell.run("portcullis map")
    pipelines(shell, tmp_path)
    shell.run("portcullis destroy --yes --skip-preview")
    assert not host.run("docker ps --quiet", check=False).stdout
