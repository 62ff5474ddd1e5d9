"""Write a new project: Pulumi.yaml, a first program, requirements.txt and .gitignore.

It overwrites nothing. Exit status: 0; 1, nothing was written.
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
"""What pip calls this package: `portcullis` alone is another one there."""
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
"""What this project declares. `portcullis preview` shows what would change, `portcullis up` changes it."""

from portcullis.components import AppArgs, HardenedHost, HardenedHostArgs, RedisArgs, SiteArgs

HardenedHost(
    "web1",
    HardenedHostArgs(
        address="203.0.113.10",  # of your VPS: an IPv4 or IPv6 address, or a name
        os="debian-13",  # or debian-12, ubuntu-24.04, ubuntu-22.04
        # What `ssh-keyscan -t ed25519 ADDRESS` prints, compared with your provider's console.
        host_key="ssh-ed25519 AAAA…",
        stores={"redis": RedisArgs()},
        # An image that the host can pull, and the port that it listens on inside.
        apps={"api": AppArgs(image="ghcr.io/acme/api@sha256:…", port=8080, uses=["redis"])},
        # A name whose DNS record leads to the host: the certificate comes from Let's Encrypt.
        sites={"api.example.com": SiteArgs(app="api")},
    ),
)
'''
_IGNORED = ("/.portcullis/", "/.venv", "__pycache__/")
_NEXT = """\
Next, in {folder}:
{path}  1. fill in __main__.py: address, host key, image, site
  2. pulumi login; pulumi stack init prod    (or pulumi login --local, with PULUMI_CONFIG_PASSPHRASE set)
  3. portcullis plan       what stands on the host already and would differ
  4. portcullis preview    what would be made; then portcullis up
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    parser.add_argument(
        "folder", nargs="?", type=command.place, default=Path.cwd(), help="the project's; without it this one"
    )


def run(options: argparse.Namespace) -> int:
    """Write the project."""
    folder: Path = options.folder
    files = {"Pulumi.yaml": project(folder), "__main__.py": PROGRAM, "requirements.txt": _requirements()}
    try:
        _write(folder, files)
    except (FileExistsError, NotADirectoryError) as error:
        raise command.Failed(f"nothing was written: {error}") from None
    sys.stdout.write(_NEXT.format(folder=folder, path=_path()))
    return 0


def project(folder: Path) -> str:
    """Return the text of Pulumi.yaml, with the environment and the plugin of the Python that runs this."""
    is_virtual = sys.prefix != sys.base_prefix
    environment = _ENVIRONMENT.format(folder=_below(folder, Path(sys.prefix))) if is_virtual else ""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", folder.name).strip("-.") or "hosts"
    return _PROJECT.format(
        name=json.dumps(name), environment=environment, plugin=_below(folder, plugin_folder())
    )


def _below(folder: Path, path: Path) -> str:
    """Return a path as the project names it: relative where it lies in its folder. In quotes, for YAML."""
    for base, found in ((folder, path), (folder.resolve(), path.resolve())):
        if found.is_relative_to(base):
            return json.dumps(str(found.relative_to(base)))
    return json.dumps(str(path))


def _requirements() -> str:
    return f"{DISTRIBUTION}=={__version__}\n"


def _write(folder: Path, files: Mapping[str, str]) -> None:
    """Write all files or none; add to .gitignore what it lacks.

    Raises:
        FileExistsError: some are there already.
        NotADirectoryError: something else has the folder's name.
    """
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is no folder")
    there = [name for name in files if (folder / name).exists()]
    if there:
        raise FileExistsError(f"{' and '.join(there)} in {folder} would be overwritten")
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
    """Return how a shell finds this command, where it does not yet."""
    if shutil.which("portcullis"):
        return ""
    checkout = Path(__file__).resolve().parents[2] / "bin"
    folder = checkout if (checkout / "portcullis").exists() else Path(sys.executable).parent
    return f'  0. export PATH="{folder}:$PATH"\n'
