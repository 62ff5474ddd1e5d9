"""Ask from another machine: the probe is sent there over ssh, and leaves nothing behind."""

from __future__ import annotations

import base64
import io
import ipaddress
import json
import shlex
import subprocess
import zipfile
from pathlib import Path
from typing import Any, Dict, Sequence

from portcullis.cli.heard import TooMuch, heard
from portcullis.printable import one_line, printable

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
# Raw packets take root; without it the probe makes connections. -I: nothing there stands in for the library.
_REMOTE = (
    'if [ "$(id -u)" != 0 ] && sudo -n true 2>/dev/null; then exec sudo -n python3 -I -; fi; '
    "exec python3 -I -"
)
TIMEOUT = 600.0
"""Seconds that all of it may take; a connect scan of a host that drops everything takes 100 s an address."""
_UNREACHABLE = 255


class VantageFailed(Exception):
    """It could not be asked from there; the text says why, for people."""


def bundle() -> bytes:
    """Return the probe as a zip that Python imports from; it needs nothing else there."""
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


def program(question: Dict[str, Any]) -> str:
    """Return the program that answers a question on a machine with Python and nothing of ours."""
    archive = base64.b64encode(bundle()).decode()
    return _PROGRAM.format(archive=archive, question=json.dumps(question))


def answer(question: Dict[str, Any], host: str, ssh: Sequence[str] = ("ssh",)) -> Dict[str, Any]:
    """Ask from another machine.

    Args:
        question: as `probe.answer` takes it.
        host: what ssh calls the machine.
        ssh: the command line of ssh.

    Raises:
        VantageFailed: it cannot be reached, has no Python, or the probe failed there.
    """
    command = [*ssh, "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "--", host]
    try:
        done = heard([*command, f"sh -c {shlex.quote(_REMOTE)}"], program(question), TIMEOUT)
    except TooMuch as error:
        raise VantageFailed(f"asking from {host} failed: {error}") from None
    except subprocess.TimeoutExpired:
        raise VantageFailed(f"{host} did not finish within {TIMEOUT:.0f} s; ask for fewer --ports") from None
    if done.returncode == _UNREACHABLE:
        raise VantageFailed(f"{host} cannot be reached by ssh: {printable(done.stderr.strip())}")
    if done.returncode != 0:
        raise VantageFailed(f"asking from {host} failed; it needs python3: {_last(done.stderr)}")
    try:
        found: Dict[str, Any] = json.loads(done.stdout)
    except (ValueError, RecursionError):
        raise VantageFailed(f"{host} answered with something else: {_last(done.stdout)}") from None
    return checked(found, host)


def checked(found: Any, host: str) -> Dict[str, Any]:
    """Return an answer if it is one of the probe's.

    Raises:
        VantageFailed: it is of another form.
    """
    try:
        whole = (
            isinstance(found["from"], str)
            and found["method"] in ("syn", "connect")
            and all(isinstance(name, str) for name in found["unresolved"])
            and all(map(_is_whole, found["addresses"].values()))
        )
    except (KeyError, TypeError, AttributeError, ValueError):
        whole = False
    if not whole:
        raise VantageFailed(f"{host} answered with something else than what was asked")
    answer_: Dict[str, Any] = found
    return answer_


def _is_whole(one: Any) -> bool:
    """Tell whether it is what the probe says of one address."""
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
    return all([*greeted, *shown, *counted, *(type(port) is int for port in one["open"])])


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return one_line(lines[-1]) if lines else "no word of it"
