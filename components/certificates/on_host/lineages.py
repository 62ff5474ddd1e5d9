"""certbot's lineages on disk: the settings of renewals, the certificate, and incomplete lineages."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.agent import x509
from portcullis.agent.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIMIT = 1 << 20  # bytes of a chain, or of the settings of renewals


@dataclass(frozen=True)
class Lineage:
    """A lineage of certbot on disk.

    Attributes:
        settings: the settings of renewals, from ``renewal/NAME.conf``.
        certificate: the present certificate. The value is None if a part of the lineage is missing or
            invalid, for example after certbot was killed.
    """

    settings: dict[str, str]
    certificate: x509.Certificate | None

    def option(self, name: str) -> str:
        """Return a setting, or "" for a missing setting. certbot writes a missing setting as ``None``."""
        found = self.settings.get(name, "")
        return "" if found == "None" else found


class Lineages:
    """The lineages in certbot's folder, ``/etc/letsencrypt``."""

    def __init__(self, root: Path) -> None:
        """Store the path of certbot's folder, and read nothing yet."""
        self._root = root

    def live(self, name: str) -> Path:
        """Return the folder of a lineage's certificate and key."""
        return self._root / "live" / name

    def read(self, name: str) -> Lineage | None:
        """Read a lineage.

        Return None if no part of the lineage exists. Raises `AgentError` with the code ``unreadable`` if a
        file cannot be read.
        """
        if not any(os.path.lexists(path) for path in self._parts(name)):
            return None
        settings = _settings(_bytes(self._root / "renewal" / f"{name}.conf"))
        whole = bool(settings.get("server")) and all(
            _bytes(self.live(name) / file) for file in ("cert.pem", "privkey.pem")
        )
        certificate = None
        with contextlib.suppress(ValueError):
            certificate = x509.parse(x509.first_of(_bytes(self.live(name) / "fullchain.pem")))
        return Lineage(settings, certificate if whole else None)

    def put_aside(self, name: str, folder: Path) -> None:
        """Move all parts of a lineage into `folder`.

        certbot refuses to issue a lineage of which some parts already exist.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self._parts(name):
            if os.path.lexists(path):
                kept = folder / path.parent.name
                _discard(kept)
                shutil.move(str(path), str(kept))

    def put_back(self, name: str, folder: Path) -> bool:
        """Move back the parts that `put_aside` moved away.

        Return whether there were any parts to move back.
        """
        found = [path for path in self._parts(name) if os.path.lexists(folder / path.parent.name)]
        for path in found:
            _discard(path)
            shutil.move(str(folder / path.parent.name), str(path))
        with contextlib.suppress(OSError):
            folder.rmdir()
        return bool(found)

    def discard(self, name: str) -> None:
        """Delete all parts of a lineage, even of an incomplete one."""
        for path in self._parts(name):
            _discard(path)

    def _parts(self, name: str) -> list[Path]:
        return [self._root / "renewal" / f"{name}.conf", self.live(name), self._root / "archive" / name]


class Sites:
    """The files of nginx's configuration that use a lineage. A lineage's name in a comment does not count.

    The configuration is read once, at first use.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        """Store the folders, and read nothing yet.

        The list of files is needed only if a server shows another certificate, which seldom happens.

        Args:
            root: certbot's folder.
            folder: nginx's folder.
        """
        self._named = re.compile(rf"{re.escape(str(root))}/live/([^/\s]+)/")
        self._folder = folder
        self._reading = threading.Lock()
        self._found: dict[str, list[Path]] | None = None

    def naming(self, lineage: str) -> list[Path]:
        """Return the files of nginx's configuration that use a lineage."""
        with self._reading:
            if self._found is None:
                self._found = {}
                for path in _files(self._folder):
                    for name in {name for line in _lines(path) for name in self._named.findall(line)}:
                        self._found.setdefault(name, []).append(path)
        return self._found.get(lineage, [])


def _files(folder: Path) -> Iterator[Path]:
    for here, folders, names in os.walk(folder):
        if "sites-available" in folders:
            folders.remove("sites-available")  # nginx reads only the files that sites-enabled links to
        yield from (Path(here) / name for name in sorted(names))


def _lines(path: Path) -> Iterator[str]:
    text = ""
    with contextlib.suppress(OSError):
        if path.is_file() and path.stat().st_size <= _LIMIT:
            text = path.read_text(errors="replace")
    return (line.partition("#")[0] for line in text.splitlines())


def _discard(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _settings(data: bytes) -> dict[str, str]:
    """Return the settings in the text of a renewal file, such as ``webroot_path = /var/www,``.

    The names of sections are ignored.
    """
    found: dict[str, str] = {}
    for line in data.decode("utf-8", "replace").splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.lstrip().startswith(("#", "[")):
            found.setdefault(key.strip(), value.strip().rstrip(",").strip())
    return found


def _bytes(path: Path) -> bytes:
    """Return a file's content. A missing file and a broken link have no content."""
    try:
        with path.open("rb") as file:
            return file.read(_LIMIT)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return b""
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise AgentError("unreadable", f"{path} cannot be read on the host: {why}", prop="lineage") from None
