"""Builds the agent as one zip file, from which Python imports. The bytes are the same on every machine."""

from __future__ import annotations

import functools
import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

# The modules that run on a host, below the folder of this package.
_ON_HOST = ("agent/*.py", "*/*/on_host.py", "*/*/on_host/*.py", "*/*/facts.py")
# The earliest time that a zip file can contain. With a fixed time, the hash is the same on every machine.
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Bundle:
    """The agent's zip, and its SHA-256 in hexadecimal digits.

    The copy on the host has the SHA-256 as its name.
    """

    data: bytes
    digest: str


@functools.cache
def agent_bundle() -> Bundle:
    """Build the agent's zip. Parent packages get an empty `__init__.py`, because the host has no Pulumi."""
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
