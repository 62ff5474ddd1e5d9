"""Write a new project: Pulumi.yaml, a first program, requirements.txt and .gitignore.

`init` never overwrites a file.

Exit code: 0 if the project was written, 1 if nothing was written.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

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
{environment}options:
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
        # The output of `ssh-keyscan -t ed25519 ADDRESS`. Compare it with the key in your provider's console.
        host_key="ssh-ed25519 AAAA…",
        stores={"redis": RedisArgs()},
        # An image that the host can pull, and the port that the app listens on inside its container.
        apps={"api": AppArgs(image="ghcr.io/acme/api@sha256:…", port=8080, uses=["redis"])},
        # A name whose DNS record points to the host. Let's Encrypt issues its certificate.
        sites={"api.example.com": SiteArgs(app="api")},
    ),
)
'''
_IGNORED = ("/.portcullis/", "/.venv", "__pycache__/")
_NEXT = """\
Next, in {folder}:
{path}  1. fill in __main__.py: address, host key, image, site
  2. pulumi login; pulumi stack init prod    (or pulumi login --local, with PULUMI_CONFIG_PASSPHRASE set)
  3. portcullis plan       shows what `up` would change on a host that is already in use
  4. portcullis preview    shows every difference; then run portcullis up
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
    files = {"Pulumi.yaml": project(folder), "__main__.py": PROGRAM, "requirements.txt": _requirements()}
    try:
        _write(folder, files)
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


def _requirements() -> str:
    return f"{DISTRIBUTION}=={__version__}\n"


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
