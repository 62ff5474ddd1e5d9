"""Scan from another machine. The probe is sent to that machine over ssh, and leaves nothing behind."""

from __future__ import annotations

import base64
import io
import ipaddress
import json
import shlex
import subprocess
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portcullis.cli.bounded_output import OutputTooLong, run_bounded
from portcullis.printable import one_line, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

_ROOT = Path(__file__).resolve().parents[2]
_MODULES = (
    "cli/scan/syn.py",
    "cli/scan/connect.py",
    "cli/scan/greetings.py",
    "cli/scan/certificates.py",
    "cli/scan/probe.py",
    "agent/x509.py",
    "components/mongodb/on_host/mongo_bson.py",
)
_PROGRAM = """\
import base64, os, sys, tempfile
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "probe.zip")
    with open(path, "wb") as f:
        f.write(base64.b64decode({archive!r}))
    sys.path.insert(0, path)
    import json
    from portcullis.cli.scan import probe
    print(json.dumps(probe.answer(json.loads({question!r}))))
"""
# Raw packets need root. Without root, the probe makes connections. -I: Python imports no files of that user.
_REMOTE = (
    'if [ "$(id -u)" != 0 ] && sudo -n true 2>/dev/null; then exec sudo -n python3 -I -; fi; '
    "exec python3 -I -"
)
TIMEOUT = 600.0
"""Seconds for the whole scan. With connections, a host that drops everything takes 100 s for each address."""
_UNREACHABLE = 255


class VantageFailed(Exception):
    """The scan from another machine failed. The error's text gives the reason, for people."""


def bundle() -> bytes:
    """Return the probe as a zip file that Python can import from.

    The probe needs no other file on that machine.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for folder in (
            "",
            "cli/",
            "cli/scan/",
            "agent/",
            "components/",
            "components/mongodb/",
            "components/mongodb/on_host/",
        ):
            archive.writestr(f"portcullis/{folder}__init__.py", "")
        for module in _MODULES:
            archive.writestr(f"portcullis/{module}", (_ROOT / module).read_bytes())
    return buffer.getvalue()


def program(question: dict[str, Any]) -> str:
    """Return the program that answers a question on a machine that has Python, but not this package."""
    archive = base64.b64encode(bundle()).decode()
    return _PROGRAM.format(archive=archive, question=json.dumps(question))


def answer(question: dict[str, Any], host: str, ssh: Sequence[str] = ("ssh",)) -> dict[str, Any]:
    """Scan from another machine.

    Args:
        question: the question for `probe.answer`.
        host: the machine's name for ssh.
        ssh: the command of ssh, with arguments.

    Raises:
        VantageFailed: the machine cannot be reached or has no Python, or the probe failed there.
    """
    command = [*ssh, "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "--", host]
    try:
        done = run_bounded([*command, f"sh -c {shlex.quote(_REMOTE)}"], program(question), TIMEOUT)
    except OutputTooLong as error:
        raise VantageFailed(f"the scan from {host} failed: {error}") from None
    except subprocess.TimeoutExpired:
        raise VantageFailed(
            f"{host} did not finish within {TIMEOUT:.0f} s; scan fewer ports (`--ports`)"
        ) from None
    if done.returncode == _UNREACHABLE:
        raise VantageFailed(f"{host} cannot be reached by ssh: {printable(done.stderr.strip())}")
    if done.returncode != 0:
        raise VantageFailed(
            f"the scan from {host} failed; it needs Python 3.10 or newer on {host}: {_last(done.stderr)}"
        )
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except (ValueError, RecursionError):
        raise VantageFailed(f"{host} did not answer with a result: {_last(done.stdout)}") from None
    return checked(found, host)


def checked(found: Any, host: str) -> dict[str, Any]:
    """Return an answer if it has the form of the probe's answers.

    Raises:
        VantageFailed: the answer has another form.
    """
    try:
        fits = (
            isinstance(found["from"], str)
            and found["method"] in ("syn", "connect")
            and all(isinstance(name, str) for name in found["unresolved"])
            and all(map(_fits, found["addresses"].values()))
        )
    except (KeyError, TypeError, AttributeError, ValueError):
        fits = False
    if not fits:
        raise VantageFailed(f"the answer of {host} is not the result of a scan")
    answer_: dict[str, Any] = found
    return answer_


def _fits(one: Any) -> bool:
    """Return whether this has the form of the probe's answer about one address."""
    if one["source"] is not None:
        ipaddress.ip_address(one["source"])
    greeted = [
        isinstance(said[key], str)
        for said in one["greetings"].values()
        for key in ("speaks", "said", "access")
    ]
    shown = [
        isinstance(leaf[key], kind)
        for leaf in one["certificates"].values()
        for key, kind in (
            ("begins", int),
            ("ends", int),
            ("issuer", str),
            ("fault", str),
            ("trusted", bool),
            ("names_it", bool),
        )
    ]
    counted = [isinstance(one[key], int) for key in ("refused", "silent")]
    ports = [type(port) is int and 0 < port < 1 << 16 for port in one["open"]]
    return all([*greeted, *shown, *counted, *ports])


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return one_line(lines[-1]) if lines else "it printed nothing"
