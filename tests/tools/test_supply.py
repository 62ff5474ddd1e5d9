from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING

import pytest

from portcullis import __version__
from tools import supply
from tools.supply import Verdict, of_go, of_python

if TYPE_CHECKING:
    from pathlib import Path

VULNERABILITY = {"id": "PYSEC-2026-1", "fix_versions": ["15.0.1"], "aliases": []}
KNOWN = {"name": "rich", "version": "15.0.0", "vulns": [VULNERABILITY]}
CLEAN = {"name": "bcrypt", "version": "5.0.0", "vulns": []}
# pip-audit prints this reason if the index has no list, and also "No known vulnerabilities found".
SKIPPED = {"name": "uv", "skip_reason": "Dependency not found on PyPI and could not be audited: uv"}
FOUND_IN_GO = """\
=== Symbol Results ===

Vulnerability #1: GO-2026-0001
    A request makes it wait.
"""


def answer(*packages: object) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


@pytest.mark.parametrize(
    ("packages", "code", "line"),
    [
        ([CLEAN], 0, ""),
        ([CLEAN, KNOWN], 1, "rich 15.0.0: PYSEC-2026-1, fixed in 15.0.1"),
        ([CLEAN, SKIPPED], 2, "requirements.txt: the index had no answer for 1 of 2: uv"),
        ([SKIPPED, KNOWN], 1, "PYSEC-2026-1"),
    ],
)
def test_a_package_that_nobody_was_asked_about_is_not_clean(
    packages: list[object], code: int, line: str
) -> None:
    verdict = of_python("requirements.txt", answer(*packages), "No known vulnerabilities found")
    assert verdict.code == code
    assert line in "\n".join([*verdict.known, *verdict.unasked])


def test_an_index_that_does_not_answer_is_not_clean() -> None:
    verdict = of_python("requirements.txt", "", "Traceback\nConnectionError: no route to host\n")
    assert verdict == Verdict(unasked=["requirements.txt: ConnectionError: no route to host"])


def test_what_govulncheck_says() -> None:
    assert of_go("pulumi", 0, "No vulnerabilities found.", "") == Verdict()
    assert of_go("pulumi", 3, FOUND_IN_GO, "") == Verdict(known=["pulumi: GO-2026-0001"])
    assert of_go("pulumi", 1, "", "govulncheck: fetching: no such host\n").code == 2


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the programs, into which the tests write stand-ins."""
    monkeypatch.setattr(supply.programs, "installed", lambda _: tmp_path)
    return tmp_path


def command(path: Path, code: str) -> None:
    path.write_text(f"#!{sys.executable}\nimport sys, pathlib, json\n{code}\n")
    path.chmod(0o755)


def test_an_audit_without_its_indexes_fails_aloud(
    program: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command(program / "pip-audit", f"print({answer(SKIPPED)!r})")
    monkeypatch.setattr(supply, "_GO_INDEX", "https://127.0.0.1:1")
    assert supply.audit() == 2
    said = capsys.readouterr()
    assert "unknown: requirements.txt: the index had no answer for 1 of 1: uv" in said.out
    assert "unknown: every Go module: https://127.0.0.1:1 cannot be reached" in said.out
    assert "error: the result is incomplete" in said.err


def test_a_bill_of_materials_is_of_the_lock_and_of_this_version(program: Path, tmp_path: Path) -> None:
    command(
        program / "cyclonedx-py",
        "a = sys.argv[1:]\n"
        "at = lambda flag: pathlib.Path(a[a.index(flag) + 1])\n"
        "at('-o').write_text(json.dumps([a, at('--pyproject').read_text()]))",
    )
    written = supply.sbom(tmp_path / "dist")
    assert written.name == f"portcullis-host-{__version__}.cdx.json"
    argv, project = json.loads(written.read_text())
    assert argv[:2] == ["requirements", str(supply.ROOT / "requirements.txt")]
    assert "--output-reproducible" in argv
    assert re.search(rf'^version = "{re.escape(__version__)}"$', project, re.MULTILINE)
