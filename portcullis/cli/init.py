"""Write a new project: Pulumi.yaml, a first program and its test, requirements.txt, workflows for GitHub.

`init` never overwrites a file.

Exit code: 0 if the project was written, 1 if nothing was written.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
import sys
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from portcullis import __version__
from portcullis.cli import command
from portcullis.project import plugin_folder

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

DISTRIBUTION = "portcullis-host"
"""The name of this package on PyPI, where `portcullis` is another project."""
_PROJECT = """\
name: {name}
description: A hardened Docker host, declared and diffed in code.
runtime:
  name: python
{environment}requiredPulumiVersion: ">=3.216.0"
options:
  refresh: always  # every preview reads the hosts
plugins:
  providers:
    - name: portcullis
      path: {plugin}
"""
_ENVIRONMENT = """\
  options:
    toolchain: pip
    virtualenv: {folder}
"""
PROGRAM = '''\
"""The hosts of this project. `portcullis preview` shows what would change, `portcullis up` changes it."""

from portcullis.components import AppArgs, HardenedHost, HardenedHostArgs, RedisArgs, SiteArgs

HardenedHost(
    "web1",
    HardenedHostArgs(
        address="203.0.113.10",  # the IPv4 or IPv6 address of your VPS, or its name
        os="debian-13",  # or debian-12, ubuntu-24.04, ubuntu-22.04
        # The line of `ssh-keyscan -t ed25519 ADDRESS`. Compare it with the key in your provider's console.
        host_key="ssh-ed25519 AAAA…",
        stores={"redis": RedisArgs()},
        # An image that the host can pull, and the port that the app listens on inside its container.
        apps={"api": AppArgs(image="ghcr.io/acme/api@sha256:…", port=8080, uses=["redis"])},
        # A name whose DNS record points to the host. Let's Encrypt issues its certificate.
        sites={"api.example.com": SiteArgs(app="api")},
    ),
)
'''
TEST = '''\
"""What the program declares, without Pulumi's engine and without a host. Run `python -m pytest`."""

from portcullis.testing import declared


def test_no_container_is_reached_from_the_internet() -> None:
    containers = [one for one in declared() if one.is_container()]
    assert containers
    for container in containers:
        for port in container.items("ports"):
            assert port["ip"] in ("127.0.0.1", "172.17.0.1"), container.name  # the host, and Docker's bridge
'''
WORKFLOWS = ("preview", "deploy", "drift")
_FOR_A_PACKAGE = {
    "bin/portcullis": ".venv/bin/portcullis",
    "--require-hashes ": "",
    " --policy-pack policy/portcullis-policy": "",
    "cat docs/after-a-failed-deployment.md": 'echo "Read docs/after-a-failed-deployment.md of Portcullis."',
}
"""What a project that installs the package has in place of the files of a clone."""
_IGNORED = ("/.portcullis/", "/.venv", "__pycache__/")
_NEXT = """\
Next, in {folder}:
{path}  1. fill in __main__.py: address, host key, image, site
  2. pulumi login; pulumi stack init prod    (or pulumi login --local, with PULUMI_CONFIG_PASSPHRASE set)
  3. portcullis plan       shows what `up` would change on a host that is already in use
  4. portcullis preview    shows every difference; then run portcullis up
  5. pip install pytest; python -m pytest      runs the first test
  6. commit and push: docs/pull-requests.md of Portcullis says what the workflows need
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "folder", nargs="?", type=command.place, default=Path.cwd(),
        help="the project's folder (default: the working folder)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Write the project."""
    folder: Path = options.folder
    requirement, wheel = _requirement()
    written = {
        "Pulumi.yaml": project(folder),
        "__main__.py": PROGRAM,
        "tests/test_program.py": TEST,
        "requirements.txt": f"{requirement}\npytest\n",
        # A pipeline has only the project's folder, so Pulumi.yaml must not name an environment elsewhere.
        **(workflows() if Path(sys.prefix).resolve().is_relative_to(folder.resolve()) else {}),
    }
    try:
        _write(folder, written)
        if wheel and not (folder / wheel.name).exists():
            shutil.copy2(wheel, folder)
    except (FileExistsError, NotADirectoryError) as error:
        raise command.Failed(f"the project was not written: {error}") from None
    sys.stdout.write(_NEXT.format(folder=folder, path=_path()))
    return 0


def project(folder: Path) -> str:
    """Return the text of Pulumi.yaml. It names the virtual environment and the plugin of this Python."""
    is_virtual = sys.prefix != sys.base_prefix
    environment = _ENVIRONMENT.format(folder=_quoted(folder, Path(sys.prefix))) if is_virtual else ""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", folder.name).strip("-.") or "hosts"
    return _PROJECT.format(
        name=json.dumps(name), environment=environment, plugin=_quoted(folder, plugin_folder())
    )


def _quoted(folder: Path, path: Path) -> str:
    """Return a path in quotes for Pulumi.yaml. A path inside the project's folder becomes relative."""
    for base, found in ((folder, path), (folder.resolve(), path.resolve())):
        if found.is_relative_to(base):
            return json.dumps(str(found.relative_to(base)))
    return json.dumps(str(path))


def workflows() -> dict[str, str]:
    """Return the workflows for GitHub: those of a clone, changed for a project that installs the package."""
    written = {}
    for name in WORKFLOWS:
        text = files("portcullis").joinpath(f"workflows/{name}.yml").read_text(encoding="utf-8")
        for theirs, ours in _FOR_A_PACKAGE.items():
            text = text.replace(theirs, ours)
        written[f".github/workflows/{name}.yml"] = text
    return written


def _requirement() -> tuple[str, Path | None]:
    """Return what pip installs this package from, and the wheel if that is a file of this machine.

    A pipeline cannot read that file, so it goes into the project.
    """
    try:
        origin = importlib.metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:  # a checkout
        return f"./{DISTRIBUTION.replace('-', '_')}-{__version__}-py3-none-any.whl", None
    if not origin:
        return f"{DISTRIBUTION}=={__version__}", None
    found = json.loads(origin)
    wheel = Path(unquote(urlsplit(found["url"]).path))
    if found["url"].startswith("file:") and wheel.is_file():
        return f"./{wheel.name}", wheel
    vcs = found.get("vcs_info", {})
    commit = f"@{vcs['commit_id']}" if vcs else ""
    return f"{DISTRIBUTION} @ {vcs.get('vcs', '')}{'+' if vcs else ''}{found['url']}{commit}", None


def _write(folder: Path, files: Mapping[str, str]) -> None:
    """Write all files or none. Add missing lines to .gitignore.

    Raises:
        FileExistsError: one of the files exists.
        NotADirectoryError: `folder` exists and is not a folder.
    """
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"the path {folder} exists and is not a folder")
    existing = [name for name in files if (folder / name).exists()]
    if existing:
        raise FileExistsError(f"the folder {folder} already contains {' and '.join(existing)}")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    ignore = folder / ".gitignore"
    before = ignore.read_text(encoding="utf-8") if ignore.exists() else ""
    missing = [line for line in _IGNORED if line not in before.splitlines()]
    if missing:
        start = "\n" if before and not before.endswith("\n") else ""
        ignore.write_text(before + start + "".join(f"{line}\n" for line in missing), encoding="utf-8")


def _path() -> str:
    """Return advice on how to put this command on PATH, or "" if the command is on PATH already."""
    if shutil.which("portcullis"):
        return ""
    checkout = Path(__file__).resolve().parents[2] / "bin"
    folder = checkout if (checkout / "portcullis").exists() else Path(sys.executable).parent
    return f'  0. export PATH="{folder}:$PATH"\n'
