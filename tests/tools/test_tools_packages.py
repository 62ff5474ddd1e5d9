"""Only missing packages are installed.

If the installation is impossible, the error has the command that a person can run.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tools import golang, packages, steps

if TYPE_CHECKING:
    from pathlib import Path

_POLICY = """\
docker.io:
  Installed: (none)
  Candidate: 26.1.5+dfsg1-9+b9
  Version table:
     26.1.5+dfsg1-9+b9 500
gone:
  Installed: (none)
  Candidate: (none)
  Version table:
golang-go:
  Installed: (none)
  Candidate: 2:1.24~2
"""


def answer(text: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess([], code, text, "")


def test_the_lists_name_packages_and_the_commands_that_make_them_unnecessary() -> None:
    wanted = packages.wanted()

    assert wanted["docker.io"] == "dockerd"
    assert "#" not in "".join([*wanted, *wanted.values()])


def test_a_package_is_missing_unless_it_is_installed_or_its_command_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listed = "bash installed\nremoved config-files\n"
    monkeypatch.setattr(packages, "ask", lambda *_, **__: answer(listed))

    missing = packages._missing(
        {"bash": "", "removed": "", "docker.io": "no-dockerd", "openssh-client": "sh"}
    )

    assert list(missing) == ["removed", "docker.io"]


def test_who_is_not_root_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "_missing", lambda _: {"mmdebstrap": "", "docker.io": "dockerd"})
    monkeypatch.setattr(packages.os, "geteuid", lambda: 1000)

    with pytest.raises(steps.StepError, match=r"sudo apt-get install mmdebstrap docker\.io\n"):
        packages.ensure(lab=True, go=False)


def test_a_machine_that_has_everything_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "_missing", lambda _: {})
    monkeypatch.setattr(packages, "_install", lambda _: pytest.fail("nothing was missing"))

    packages.ensure(lab=True, go=False)


def test_without_a_browser_the_other_tests_still_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(missing: dict[str, str]) -> None:
        assert missing == {"chromium": "chromium", "chromium-driver": "chromedriver"}
        raise steps.StepError("no package of this release brings chromium")

    monkeypatch.setattr(packages, "_missing", lambda wanted: wanted)
    monkeypatch.setattr(packages, "_install", refuse)
    packages.ensure_for_tests()
    assert "tests in a browser will fail. no package" in capsys.readouterr().err


def test_the_versions_that_apt_offers_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "ask", lambda *_, **__: answer(_POLICY))

    assert packages._offered({"docker.io": "", "gone": "", "golang-go": ""}) == {
        "docker.io": "26.1.5+dfsg1-9+b9",
        "golang-go": "2:1.24~2",
    }


@pytest.mark.parametrize(("version", "enough"), [("2:1.19~1", False), ("2:1.24~2", True), ("2:1.21~2", True)])
def test_debians_go_is_installed_only_where_it_is_new_enough(version: str, *, enough: bool) -> None:
    assert golang.new_enough(version) is enough


def test_nothing_starts_while_packages_are_installed_and_a_policy_of_the_machine_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "policy-rc.d"
    monkeypatch.setattr(packages, "_POLICY", policy)

    with packages._nothing_started():
        assert subprocess.run([policy, "docker", "start"], check=False, timeout=10).returncode == 101
    assert not policy.exists()

    policy.write_text("#!/bin/sh\nexit 0\n")
    with packages._nothing_started():
        assert policy.read_text() == "#!/bin/sh\nexit 0\n"
    assert policy.exists()
