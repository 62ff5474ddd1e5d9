"""Tests policy-rc.d, the script by which Debian asks whether a service may start.

The tests call the real script in the way of invoke-rc.d. A stand-in replaces systemctl.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from portcullis.resources.packages.on_host.policy import VARIABLE, held_back, starting

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    stand_in = tmp_path / "bin" / "systemctl"
    stand_in.parent.mkdir()
    stand_in.write_text('#!/bin/sh\n[ "$3" = running.service ]\n')
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stand_in.parent}:{os.environ['PATH']}")
    return tmp_path / "policy-rc.d"


def ask(policy: Path, unit: str, action: str, *, ours: bool = True) -> int:
    """Ask policy-rc.d as a maintainer script does, in our run of apt or in a run of somebody else."""
    environment = {**os.environ, **({VARIABLE: "1"} if ours else {})}
    return subprocess.run([str(policy), unit, action], check=False, env=environment).returncode


def test_the_policy_forbids_starts_but_not_stops_or_running_units(policy: Path) -> None:
    with held_back(policy):
        assert ask(policy, "nginx.service", "start") == 101
        assert ask(policy, "nginx.service", "restart") == 101
        assert ask(policy, "nginx.service", "stop") == 0
        assert ask(policy, "running.service", "restart") == 0
    assert not policy.exists()


def test_the_hosts_own_policy_is_asked_and_comes_back(policy: Path) -> None:
    policy.write_text('#!/bin/sh\n[ "$2" = stop ] && exit 104\nexit 0\n')
    policy.chmod(0o750)
    before = policy.stat().st_ino
    with held_back(policy):
        assert ask(policy, "nginx.service", "stop") == 104
        assert ask(policy, "nginx.service", "start") == 101
    assert policy.stat().st_ino == before
    assert sorted(p.name for p in policy.parent.iterdir()) == ["bin", "policy-rc.d"]


def test_the_hosts_own_policy_comes_back_after_a_failure(policy: Path) -> None:
    policy.write_text("#!/bin/sh\n")
    with pytest.raises(RuntimeError), held_back(policy):
        raise RuntimeError
    assert policy.read_text() == "#!/bin/sh\n"


@pytest.mark.parametrize("had_one", [True, False])
def test_a_policy_of_a_killed_agent_applies_only_to_its_apt_and_is_removed(
    policy: Path,
    had_one: bool,  # noqa: FBT001
) -> None:
    if had_one:
        policy.write_text("#!/bin/sh\nexit 0\n")
        policy.chmod(0o755)
    child = os.fork()
    if not child:
        context = held_back(policy)
        context.__enter__()
        os._exit(0)
    os.waitpid(child, 0)
    assert "portcullis" in policy.read_text()
    # The apt of a killed agent still runs. A web server that this apt installs must not show the
    # distribution's page.
    assert ask(policy, "nginx.service", "start") == 101
    assert ask(policy, "nginx.service", "start", ours=False) == 0
    with held_back(policy):
        assert ask(policy, "nginx.service", "start") == 101
    assert policy.exists() == had_one
    assert not policy.with_name("policy-rc.d.portcullis").exists()
    if had_one:
        assert policy.read_text() == "#!/bin/sh\nexit 0\n"


def test_a_run_that_was_killed_before_its_script_leaves_the_hosts_own_policy(policy: Path) -> None:
    policy.write_text("#!/bin/sh\nexit 0\n")
    os.link(policy, policy.with_name("policy-rc.d.portcullis"))
    with held_back(policy):
        pass
    assert policy.read_text() == "#!/bin/sh\nexit 0\n"
    assert not policy.with_name("policy-rc.d.portcullis").exists()


def test_a_unit_without_a_name_is_left_out() -> None:
    block = "UnitFileState=enabled\nDefaultDependencies=yes\n"
    assert starting(f"Id=a.service\n{block}\n{block}") == {"a.service": True}
