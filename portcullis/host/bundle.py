"""The agent as one file: a zip of its modules that Python imports from, the same bytes everywhere."""

from __future__ import annotations

import functools
import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

# What runs on a host, below the folder of this package. Everything else there stays here.
_ON_HOST = ("agent/*.py", "*/*/on_host.py", "*/*/on_host/*.py", "*/*/facts.py")
# zip cannot hold an earlier time; a fixed one keeps the hash the same on every machine.
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Bundle:
    """The agent's zip and its SHA-256 in hex, under which the host caches it."""

    data: bytes
    digest: str


@functools.cache
def agent_bundle() -> Bundle:
    """Build the agent's zip; parents are empty packages, since the host has no Pulumi to import."""
    package = Path(__file__).parent.parent
    members = {
        f"portcullis/{path.relative_to(package).as_posix()}": path.read_bytes()
        for pattern in _ON_HOST
        for path in package.glob(pattern)
    }
    for name in list(members):
        for parent in PurePosixPath(name).parents[:-1]:
            members.setdefault(f"{parent}/__init__.py", b"")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(members):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), members[name], zipfile.ZIP_DEFLATED)
    data = buffer.getvalue()
    return Bundle(data, hashlib.sha256(data).hexdigest())
