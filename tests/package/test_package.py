"""The archives of `make dist`: their content, and the package after its installation."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from portcullis import __version__
from portcullis.cli import init
from portcullis.host.bundle import agent_bundle
from tests.package.installed import ROOT, build

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.package.installed import Archives, Installed

IMAGE = f"registry.example.com/api@sha256:{'5f' * 32}"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBZR3YwMARMndYt76G09uRhEf3IUq4cur64KMzXlUV5w"
_FILES = ("*.py", "*.pyi", "py.typed")
_PYTEST = f"""
import sys
sys.path.append({str(Path(pytest.__file__).parents[1])!r})
import pytest
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", *sys.argv[1:]]))
"""
_NAMES = """
import io, json, zipfile
import portcullis, portcullis.components, portcullis.host, portcullis.resources
from portcullis.cli.scan import vantage
from portcullis.host.bundle import agent_bundle

print(json.dumps({
    "file": portcullis.__file__,
    "names": {
        package.__name__: {name: str(getattr(package, name)) for name in package.__all__}
        for package in (portcullis.components, portcullis.host, portcullis.resources)
    },
    "agent": agent_bundle().digest,
    "probe": sorted(zipfile.ZipFile(io.BytesIO(vantage.bundle())).namelist()),
}))
"""


def package_files() -> Iterator[str]:
    """Return the files that belong into an archive, by their path in the checkout."""
    # rglob does not follow links, so each linked folder has its own entry.
    for folder in ("portcullis", "portcullis/components", "portcullis/policy"):
        for pattern in _FILES:
            for path in (ROOT / folder).rglob(pattern):
                yield path.relative_to(ROOT).as_posix()
    for name in init.WORKFLOWS:
        yield f"portcullis/workflows/{name}.yml"


def test_the_wheel_contains_only_the_package(archives: Archives) -> None:
    with zipfile.ZipFile(archives.wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        others = {name.partition(".dist-info/")[2] for name in archive.namelist()} - {""}
    assert names == set(package_files())
    assert {name.partition("/")[0] for name in names} == {"portcullis"}
    assert {"portcullis/components/nginx/component.py", "portcullis/policy/verdict.py"} <= names
    assert others == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}


def test_the_sdist_builds_the_same_wheel_to_the_byte(archives: Archives, tmp_path: Path) -> None:
    # We do not use tarfile, because Debian 12's Python has no `filter`, and later versions warn without it.
    subprocess.run(["tar", "-xzf", str(archives.sdist), "-C", str(tmp_path)], check=True)
    (source,) = tmp_path.iterdir()
    assert {path.name for path in source.iterdir()} == {
        "portcullis", "pyproject.toml", "README.md", "LICENSE", ".gitignore", "PKG-INFO",
    }  # fmt: skip
    build(source, tmp_path / "again", "wheel")
    assert (tmp_path / "again" / archives.wheel.name).read_bytes() == archives.wheel.read_bytes()


def test_another_time_and_another_folder_give_the_same_bytes(archives: Archives, tmp_path: Path) -> None:
    there = tmp_path / "a checkout of somebody else"
    there.mkdir()
    for name in (
        ".github",
        "portcullis",
        "components",
        "policy",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        ".gitignore",
    ):
        subprocess.run(["cp", "--recursive", "--no-dereference", ROOT / name, there], check=True)
    for number, path in enumerate(sorted(there.rglob("*"), reverse=True)):
        if not path.is_symlink():
            path.chmod(0o700 if path.is_dir() or path.stat().st_mode & 0o100 else 0o600)
            os.utime(path, (number, 1_000_000_000 + 86_400 * number))
    # The time is four years from now, for all clocks that Python reads.
    later = tmp_path / "later"
    later.mkdir()
    (later / "sitecustomize.py").write_text(
        "import time\nreal = time.time\ntime.time = lambda: real() + 4 * 365 * 86400\n"
    )
    build(there, there / "out", env={"PYTHONPATH": str(later), "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7"})
    for archive in (archives.wheel, archives.sdist):
        assert (there / "out" / archive.name).read_bytes() == archive.read_bytes(), archive.name


def test_the_metadata_of_the_package(archives: Archives) -> None:
    assert re.search(rf"^Version: {re.escape(__version__)}$", archives.metadata, re.MULTILINE)
    assert re.search(r"^License-Expression: Apache-2\.0$", archives.metadata, re.MULTILINE)
    assert "Apache License" in (ROOT / "LICENSE").read_text()


def test_every_import_is_a_dependency_and_the_tests_run_with_its_lower_bound() -> None:
    declared = dict(
        re.fullmatch(r"([\w-]+)>=([\d.]+),<\d+", line).groups()  # type: ignore[union-attr]
        for line in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    )
    imported = set()
    for name in package_files():
        path = ROOT / name
        if path.suffix == ".py":
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    imported |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    imported.add(str(node.module).partition(".")[0])
    others = imported - set(sys.stdlib_module_names) - {"portcullis"}
    known = importlib.metadata.packages_distributions()
    needed = {re.sub(r"[-_.]+", "-", known[name][0]).lower() for name in others if name != "google"} | {
        "protobuf"
    }
    assert needed == {name.lower() for name in declared}
    pins = (ROOT / "requirements.txt").read_text()
    for name, lowest in declared.items():
        spelled = re.sub("[-_]", "[-_]", name)
        assert re.search(rf"^{spelled}=={re.escape(lowest)} ", pins, re.MULTILINE | re.IGNORECASE), name


def program(**changes: str) -> str:
    """Return the program that `portcullis init` writes, with values in place of its placeholders."""
    text = init.PROGRAM.replace("ssh-ed25519 AAAA…", KEY).replace("ghcr.io/acme/api@sha256:…", IMAGE)
    for before, after in changes.items():
        assert before in text
        text = text.replace(before, after)
    return text


def types(installed: Installed, folder: Path) -> subprocess.CompletedProcess[str]:
    """Type-check the program in a folder, as a user of the installed package does."""
    return subprocess.run(
        [
            sys.executable, "-m", "mypy", "--strict", "--python-executable", installed.bin / "python",
            "--cache-dir", folder.parent / "mypy", "__main__.py",
        ],
        cwd=folder, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip


def test_the_first_program_passes_a_strict_type_check(installed: Installed, tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "__main__.py").write_text(program())
    done = types(installed, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    # A program with faults fails, so the types exist and are not Any.
    (folder / "__main__.py").write_text(
        program(**{"port=8080": "prot=8080", "address=": "adress=", "RedisArgs()": "RedisArgs(memory=[])"})
    )
    said = types(installed, folder).stdout
    assert 'Argument "memory" to "RedisArgs" has incompatible type' in said
    assert 'Unexpected keyword argument "prot" for "AppArgs"' in said
    assert 'Unexpected keyword argument "adress" for "HardenedHostArgs"' in said


def test_the_first_test_passes_until_the_program_breaks_it(installed: Installed, tmp_path: Path) -> None:
    installed.run("portcullis", "init", folder=tmp_path)
    (tmp_path / "__main__.py").write_text(program())
    assert "1 passed" in installed.run("python", "-c", _PYTEST, folder=tmp_path)
    assert (tmp_path / ".portcullis/test/ssh_config").exists()
    public = """
import pulumi_docker as docker

docker.Container("db", image="db", ports=[docker.ContainerPortArgs(internal=1, ip="0.0.0.0")])
"""
    (tmp_path / "__main__.py").write_text(program() + public)
    installed.run("python", "-c", _PYTEST, folder=tmp_path, code=1)


def test_every_public_name_exists_and_the_agent_is_the_same(installed: Installed, tmp_path: Path) -> None:
    found = json.loads(installed.run("python", "-W", "error", "-c", _NAMES, folder=tmp_path))
    assert found["file"].startswith(str(installed.folder))
    stub = (ROOT / "components/__init__.pyi").read_text()
    assert set(found["names"]["portcullis.components"]) == set(re.findall(r"(\w+) as \1,", stub))
    assert found["agent"] == agent_bundle().digest
    assert "portcullis/components/mongodb/on_host/mongo_bson.py" in found["probe"]
    for name in ("components", "policy", "tests", "lab", "tools"):
        installed.run("python", "-c", f"import {name}", folder=tmp_path, code=1)


def test_the_commands_of_the_package(installed: Installed, tmp_path: Path) -> None:
    assert installed.run("portcullis", "--version", folder=tmp_path) == f"portcullis {__version__}\n"
    plugin = installed.bin / "pulumi-resource-portcullis"
    with subprocess.Popen([plugin], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) > 0, "the port that it listens on"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


@pytest.mark.parametrize("name", ["shop", "shop/below"])
def test_a_new_project_names_the_environment_that_created_it(
    installed: Installed, tmp_path: Path, name: str
) -> None:
    installed.run("portcullis", "init", name, folder=tmp_path)
    text = (tmp_path / name / "Pulumi.yaml").read_text()
    assert f'virtualenv: "{installed.folder}"' in text
    assert f'path: "{installed.bin}"' in text
