"""An official plugin is always preferred, and only missing plugins get a stand-in."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tools import plugins

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make empty stand-ins with the right names."""
    folder = tmp_path / "stand-ins"
    folder.mkdir()
    for name in ("docker", "command", "tls"):
        program = folder / f"pulumi-resource-{name}"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    monkeypatch.setattr(plugins, "_STAND_INS", folder)
    monkeypatch.setattr(plugins, "FOLDER", tmp_path / "on-path")
    # `make test` runs with the real stand-ins on PATH, which would count as official plugins here.
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return folder


def laid_out() -> list[str]:
    return sorted(entry.name for entry in plugins.FOLDER.iterdir())


def test_everything_missing_is_stood_in_for(tmp_path: Path) -> None:
    assert plugins.stand_ins(tmp_path / "home", "/nowhere") == ("docker", "command", "tls")
    assert laid_out() == ["pulumi-resource-command", "pulumi-resource-docker", "pulumi-resource-tls"]


@pytest.mark.parametrize("folder", [".portcullis/plugins", "lab/plugins/bin"])
def test_the_stand_ins_of_another_checkout_are_no_official_ones(tmp_path: Path, folder: str) -> None:
    other = tmp_path / "other" / folder
    other.mkdir(parents=True)
    (other / "pulumi-resource-docker").write_text("#!/bin/sh\n")
    (other / "pulumi-resource-docker").chmod(0o755)
    assert "docker" in plugins.stand_ins(tmp_path / "home", str(other))


def test_an_installed_plugin_of_the_pinned_version_wins(tmp_path: Path) -> None:
    plugins.stand_ins(tmp_path / "home", "/nowhere")
    (tmp_path / "home/plugins" / f"resource-docker-v{plugins.pinned()['docker']}").mkdir(parents=True)

    assert plugins.stand_ins(tmp_path / "home", "/nowhere") == ("command", "tls")
    assert laid_out() == ["pulumi-resource-command", "pulumi-resource-tls"]


@pytest.mark.parametrize("name", ["resource-docker-v0.0.1", "resource-docker-v{}.partial"])
def test_another_version_or_a_half_download_does_not_count(tmp_path: Path, name: str) -> None:
    installed = tmp_path / "home/plugins"
    installed.mkdir(parents=True)
    version = plugins.pinned()["docker"]
    (installed / name.format(version)).touch()
    if name.endswith("partial"):
        (installed / f"resource-docker-v{version}").mkdir()

    assert "docker" in plugins.stand_ins(tmp_path / "home", "/nowhere")


def test_a_plugin_on_path_wins_and_our_own_folder_does_not_count_as_one(tmp_path: Path) -> None:
    plugins.stand_ins(tmp_path / "home", "/nowhere")
    official = tmp_path / "official" / "pulumi-resource-command"
    official.parent.mkdir()
    official.write_text("#!/bin/sh\n")
    official.chmod(0o755)

    search = os.pathsep.join([str(plugins.FOLDER), str(official.parent)])
    assert plugins.stand_ins(tmp_path / "home", search) == ("docker", "tls")
    assert plugins.origins(tmp_path / "home", search)["command"] == f"official, {official}"


def test_an_official_engine_installs_what_is_missing_and_a_failure_leaves_the_stand_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    pulumi = tmp_path / "pulumi"
    pulumi.write_text(
        '#!/bin/sh\n[ "$4" = tls ] && { echo "no route to host"; exit 1; }\n'
        'mkdir -p "$PULUMI_HOME/plugins/resource-$4-$5"\n'
    )
    pulumi.chmod(0o755)

    plugins.prepare(home, pulumi)

    told = capsys.readouterr().err
    assert laid_out() == ["pulumi-resource-tls"]
    assert "no route to host" in told
    assert "stand-ins of the lab for tls" in told
