"""Python packages, Pulumi, images, Go modules and npm packages are installed only with a pinned hash."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest
import yaml

from portcullis.cli import init
from tools import engine
from tools.lock import sources
from tools.steps import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCKS = [source.with_suffix(".txt") for source in sources()]
_PIN = re.compile(r"([a-z0-9-]+)==(\S+)( ; [^\\]+)? \\((?:\n    --hash=sha256:[0-9a-f]{64}(?: \\)?)+)")
_OPTIONS = ("--only-binary :all:", "--no-binary sslyze")


def faults(lock: str) -> list[str]:
    """Return the entries of a lock that pip would install without a hash or from another index."""
    lines = [line for line in lock.splitlines(keepends=True) if line.strip() and not line.startswith("#")]
    # This option must be the first line, because it cancels earlier options.
    found = [] if lines[0] == f"{_OPTIONS[0]}\n" else ["may build packages"]
    entries = re.split(r"\n(?=\S)", "".join(line for line in lines if line.strip() not in _OPTIONS).strip())
    return found + [entry.split("\n")[0] for entry in entries if not _PIN.fullmatch(entry)]


def pins(text: str) -> dict[str, str]:
    """Return the names and versions in a lock or in the lock's source file."""
    return {
        re.sub(r"[-_.]+", "-", name).lower(): version
        for name, version in re.findall(r"^([\w.-]+)(?:\[\w+\])?==([^\s;]+)", text, re.MULTILINE)
    }


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_every_package_is_known_by_its_hash(lock: Path) -> None:
    assert faults(lock.read_text()) == []


def test_every_list_of_packages_is_a_lock() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "*requirements*.txt", "*constraints*.txt"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert {ROOT / line for line in listed.stdout.split()} == set(LOCKS)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_a_lock_is_that_of_its_source(lock: Path) -> None:
    named, locked = pins(lock.with_suffix(".in").read_text()), pins(lock.read_text())
    assert named == {name: locked.get(name) for name in named}, "run `make lock`"


def test_the_tests_run_with_what_the_program_is_locked_to() -> None:
    program, tests = (pins((ROOT / f"requirements{kind}.txt").read_text()) for kind in ("", "-dev"))
    assert program == {name: tests.get(name) for name in program}


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        (r"( \\\n    --hash=sha256:\w+)+\nbcrypt", "\nbcrypt", "annotated-types==0.8.0"),
        (r"annotated-types==", "annotated-types>=", "annotated-types>="),
        (r"--only-binary :all:", "", "may build packages"),
        (r"(--only-binary.*)", r"\1\n--index-url https://pypi.example", "--index-url"),
        (r"annotated-types==\S+", "annotated-types @ https://x.example/a.whl", "annotated-types @"),
    ],
)
def test_what_is_no_lock_would_be_noticed(before: str, after: str, fault: str) -> None:
    broken, changes = re.subn(before, after, (ROOT / "requirements.txt").read_text(), count=1)
    assert changes
    (found,) = faults(broken)
    assert found.startswith(fault)


def installations() -> Iterator[tuple[str, str]]:
    """Yield each command in a pipeline, a script or a page that installs a file of requirements with pip."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.suffix in {".sh", ".yml", ".md"} or name == "Makefile":
            text = path.read_text() if path.is_file() else ""
            for found in re.finditer(r"pip install.*-r \S+", text):
                yield name, found[0]


def test_every_installation_asks_for_hashes_and_builds_nothing() -> None:
    found = list(installations())
    workflows = {f".github/workflows/{name}.yml" for name in ("deploy", "drift", "preview")}
    assert {name for name, _ in found} == {"README.md", ".gitlab-ci.yml", *workflows}
    for name, command in found:
        assert re.search(r"--require-hashes --only-binary[ =]:all:", command), f"{name}: {command}"
    for name in ("tools/venv.py", "tools/programs.py", "tests/package/installed.py"):
        assert '"--require-hashes", "--only-binary", ":all:"' in (ROOT / name).read_text(), name


def test_every_image_of_a_pipeline_is_known_by_its_digest() -> None:
    read = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text())
    images = [job["image"] for job in read.values() if isinstance(job, dict) and "image" in job]
    assert images
    for image in images:
        assert re.fullmatch(r"[\w./:-]+@sha256:[0-9a-f]{64}", image), image
    for workflow in (ROOT / ".github/workflows").glob("*.yml"):
        text = workflow.read_text()
        assert not re.search(r"^\s*(container|image):", text, re.MULTILINE), workflow.name
        # `docker run` starts the same image, so that people update only one digest.
        started = re.findall(r"^\s+(\S+@sha256:\S+)$", text, re.MULTILINE)
        assert len(started) == text.count("docker run "), workflow.name
        assert set(started) <= {read["default"]["image"]}, workflow.name


def test_every_go_module_and_every_npm_package_is_known_by_its_hash() -> None:
    for module in (ROOT / "tools/go").iterdir():
        assert "h1:" in (module / "go.sum").read_text(), module.name
    listed = subprocess.run(
        ["git", "ls-files", "*package.json"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.split():
        lock = json.loads((ROOT / name).with_name("package-lock.json").read_text())
        for package, entry in lock["packages"].items():
            assert not package or entry.get("link") or entry["integrity"].startswith("sha512-"), (
                name,
                package,
            )


class TestPulumi:
    """The script that installs Pulumi, in a folder of its own, with a `curl` that copies a file."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for name in ("tools/pulumi-cli.sh", "requirements.in"):
            copy = tmp_path / name
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes((ROOT / name).read_bytes())
        program = tmp_path / "pulumi"
        program.write_text('#!/bin/sh\necho "$@" >>"${0%/*}/said"\n')
        program.chmod(0o755)
        with tarfile.open(tmp_path / "served", "w:gz") as archive:
            archive.add(program, "pulumi/pulumi")
        program.unlink()
        curl = tmp_path / "bin/curl"
        curl.parent.mkdir()
        curl.write_text(f'#!/bin/sh\necho "$3" >>"{tmp_path}/asked"\ncp "{tmp_path}/served" "$2"\n')
        curl.chmod(0o755)
        (tmp_path / "tools/pulumi.sha256").touch()
        return tmp_path

    def run(self, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
        (folder / "out").mkdir(exist_ok=True)
        return subprocess.run(
            ["sh", folder / "tools/pulumi-cli.sh", *(words or [str(folder / "out")])],
            env={"PATH": f"{folder}/bin:/usr/bin:/bin"},
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    def archives(self) -> set[str]:
        version = pins((ROOT / "requirements.in").read_text())
        return {f"pulumi-v{version['pulumi']}-linux-{machine}.tar.gz" for machine in ("x64", "arm64")} | {
            f"pulumi-resource-{name}-v{version[f'pulumi-{name}']}-linux-{machine}.tar.gz"
            for name in ("command", "docker", "tls")
            for machine in ("amd64", "arm64")
        }

    def test_without_a_checksum_the_pinned_version_is_installed(self, folder: Path) -> None:
        done = self.run(folder)
        assert done.returncode == 0, done.stderr
        assert {path.name for path in (folder / "out/pulumi").iterdir()} == {"pulumi"}, "it ran no command"
        version = pins((ROOT / "requirements.in").read_text())["pulumi"]
        machine = {"x86_64": "x64", "aarch64": "arm64"}[platform.machine()]
        assert (folder / "asked").read_text() == (
            f"https://get.pulumi.com/releases/sdk/pulumi-v{version}-linux-{machine}.tar.gz\n"
        )

    def test_what_is_recorded_is_checked(self, folder: Path) -> None:
        done = self.run(folder, "--record")
        assert done.returncode == 0, done.stderr
        digest = hashlib.sha256((folder / "served").read_bytes()).hexdigest()
        recorded = (folder / "tools/pulumi.sha256").read_text()
        assert dict(reversed(line.split("  ")) for line in recorded.splitlines()) == dict.fromkeys(
            self.archives(), digest
        )
        done = self.run(folder)
        assert done.returncode == 0, done.stderr
        version = pins((ROOT / "requirements.in").read_text())
        assert (folder / "out/pulumi/said").read_text().splitlines() == [
            f"plugin install resource {name} {version[f'pulumi-{name}']} "
            f"--server https://get.pulumi.com/releases/plugins --checksum {digest}"
            for name in ("command", "docker", "tls")
        ]

    def test_another_archive_is_refused(self, folder: Path) -> None:
        self.run(folder, "--record")
        (folder / "served").write_bytes((folder / "served").read_bytes() + b"\0")
        done = self.run(folder)
        assert done.returncode == 1
        assert "is not the archive whose checksum is in tools/pulumi.sha256" in done.stderr
        assert list((folder / "out").iterdir()) == []

    def test_nothing_is_recorded_of_an_archive_that_is_not_served(self, folder: Path) -> None:
        (folder / "served").unlink()
        assert self.run(folder, "--record").returncode
        assert (folder / "tools/pulumi.sha256").read_text() == ""

    def test_what_is_committed_is_of_the_versions_that_are_pinned(self) -> None:
        for line in (ROOT / "tools/pulumi.sha256").read_text().splitlines():
            digest, archive = line.split("  ")
            assert re.fullmatch(r"[0-9a-f]{64}", digest)
            assert archive in self.archives()

    def test_pipelines_install_the_version_that_is_pinned(self) -> None:
        version = pins((ROOT / "requirements.in").read_text())["pulumi"]
        for file in (ROOT / ".github/workflows").glob("*.yml"):
            text = file.read_text()
            installed = re.findall(r"uses: pulumi/actions@.*\n\s+with:\n\s+pulumi-version: (.*)\n", text)
            # The project's own workflows deploy nothing.
            assert set(installed) == (set() if file.name.startswith("project-") else {version}), file.name
            assert len(installed) == text.count("pulumi/actions"), "without `command`, it only installs"
            assert "get.pulumi.com" not in text
        assert "tools/pulumi-cli.sh " in (ROOT / ".gitlab-ci.yml").read_text()

    def test_the_projects_ask_for_the_oldest_version_that_works(self) -> None:
        oldest = ".".join(map(str, engine.OLDEST_OFFICIAL))
        for text in ((ROOT / "Pulumi.yaml").read_text(), init.project(ROOT)):
            assert yaml.safe_load(text)["requiredPulumiVersion"] == f">={oldest}.0"
