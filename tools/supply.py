"""Lists the packages of a release, and their known vulnerabilities. `make sbom` and `make audit` run it.

- `tools/supply.py sbom`: the program's packages in the lock, as CycloneDX: dist/NAME-VERSION.cdx.json
- `tools/supply.py audit`: known vulnerabilities of all locked Python packages and of the Go modules

`audit` ends with 0 if both indexes answered for everything and have no vulnerability. It ends with 1 if there
is a known vulnerability. It ends with 2 if an index did not answer for all packages, because then the result
is unknown.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

if not __package__:  # started by path, from any folder
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools import golang, lock, programs
from tools.steps import ROOT, StepError, reported, say

_GO_INDEX = "https://vuln.go.dev"
_FOUND = 3  # the exit code of govulncheck if it finds a vulnerability
_SUMMARY = {
    0: "The indexes answered for everything, and no vulnerability is known.",
    1: "There are known vulnerabilities: upgrade, for example with make lock LOCK='--upgrade-package NAME'.",
    2: f"error: the result is incomplete. Run it where PyPI's vulnerabilities and {_GO_INDEX} are reachable.",
}


@dataclass
class Verdict:
    """The result of an audit: a line for each known vulnerability, and for each part without an answer."""

    known: list[str] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)

    def add(self, other: Verdict) -> None:
        """Add another verdict to this verdict.

        A line about a package that several locks have is kept once.
        """
        self.known += [line for line in other.known if line not in self.known]
        self.unasked += [line for line in other.unasked if line not in self.unasked]

    @property
    def code(self) -> int:
        """The exit code of the program."""
        return 1 if self.known else 2 if self.unasked else 0


def of_python(name: str, answer: str, complaint: str) -> Verdict:
    """Read what pip-audit printed of a lock.

    It passes over a package that the index does not know, says "No known vulnerabilities found" and ends with
    0, so an index that answers for none of them would look like good news.
    """
    try:
        packages = json.loads(answer)["dependencies"]
    except ValueError:
        return Verdict(unasked=[f"{name}: {(complaint.strip().splitlines() or ['no answer'])[-1]}"])
    verdict = Verdict()
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    if skipped:
        some = ", ".join(skipped[:3] + ["…"] * (len(skipped) > 3))  # noqa: PLR2004
        verdict.unasked.append(
            f"{name}: the index had no answer for {len(skipped)} of {len(packages)}: {some}"
        )
    for package in packages:
        for known in package.get("vulns", ()):
            fixed = ", ".join(known["fix_versions"]) or "no version"
            verdict.known.append(f"{package['name']} {package['version']}: {known['id']}, fixed in {fixed}")
    return verdict


def of_go(name: str, code: int, answer: str, complaint: str) -> Verdict:
    """Read the output of govulncheck for a module, and its exit code."""
    if code == _FOUND:
        found = re.findall(r"^Vulnerability #\d+: (.*)$", answer, re.MULTILINE)
        return Verdict(known=[f"{name}: {line}" for line in found])
    if code:
        return Verdict(unasked=[f"{name}: {(complaint.strip().splitlines() or ['no answer'])[0]}"])
    return Verdict()


def _python() -> Verdict:
    program = programs.installed(ROOT / "tools/requirements-supply.txt") / "pip-audit"
    flags = ("--disable-pip", "--require-hashes", "--format", "json", "--progress-spinner", "off")
    verdict = Verdict()
    for source in lock.sources():
        name = str(source.with_suffix(".txt").relative_to(ROOT))
        say(f"==> checking {name}")
        argv = [str(program), *flags, "--requirement", name]
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
        verdict.add(of_python(name, done.stdout, done.stderr))
    return verdict


def _go() -> Verdict:
    try:
        urllib.request.urlopen(f"{_GO_INDEX}/index/db.json", timeout=30).close()  # noqa: S310 (it is https)
    except OSError as error:
        return Verdict(unasked=[f"every Go module: {_GO_INDEX} cannot be reached ({error})"])
    program = golang.tool(ROOT / "tools/go/govulncheck", "golang.org/x/vuln/cmd/govulncheck")
    verdict = Verdict()
    for module in sorted((ROOT / "tools/go").iterdir()):
        say(f"==> checking {module.relative_to(ROOT)}")
        go, env = golang.toolchain(module)
        env["PATH"] = f"{Path(go).parent}:{os.environ['PATH']}"
        wanted = re.findall(r"^tool (\S+)$", (module / "go.mod").read_text(), re.MULTILINE) or ["./..."]
        argv = [program, *wanted]
        done = subprocess.run(
            argv, cwd=module, env={**os.environ, **env}, capture_output=True, text=True, check=False
        )
        verdict.add(of_go(module.name, done.returncode, done.stdout, done.stderr))
    return verdict


def audit() -> int:
    """Ask both indexes, print their answers and return the exit code of the program."""
    verdict = Verdict()
    for language, ask in (("Python", _python), ("Go", _go)):
        try:
            verdict.add(ask())
        except StepError as error:
            verdict.unasked.append(f"{language}: {error}")
    for line in verdict.known:
        print(f"vulnerable: {line}")
    for line in verdict.unasked:
        print(f"unknown: {line}")
    say(_SUMMARY[verdict.code])
    return verdict.code


def sbom(folder: Path) -> Path:
    """Write the bill of materials into a folder and return its path. The same lock gives the same bytes."""
    program = programs.installed(ROOT / "tools/requirements-supply.txt") / "cyclonedx-py"
    text = (ROOT / "pyproject.toml").read_text()
    (version,) = re.findall(
        r'^__version__ = "(.*)"$', (ROOT / "portcullis/__init__.py").read_text(), re.MULTILINE
    )
    name = tomllib.loads(text)["project"]["name"]
    folder.mkdir(exist_ok=True)
    written = folder / f"{name}-{version}.cdx.json"
    with tempfile.TemporaryDirectory() as scratch:
        # Hatch reads the version from the package, but this tool does not ask Hatch.
        project = Path(scratch) / "pyproject.toml"
        project.write_text(text.replace('dynamic = ["version"]', f'version = "{version}"'))
        argv = [str(program), "requirements", str(ROOT / "requirements.txt"), "--pyproject", str(project)]
        subprocess.run(
            [*argv, "--output-reproducible", "--of", "JSON", "-o", str(written)],
            # Without this option, it would warn that a lock does not tell the dependencies between packages.
            env={**os.environ, "PYTHONWARNINGS": "ignore::UserWarning"},
            check=True,
        )
    return written


def main() -> None:
    """Run the command line."""
    with reported():
        match sys.argv[1:]:
            case ["sbom"]:
                print(sbom(ROOT / "dist").relative_to(ROOT))
            case ["audit"]:
                raise SystemExit(audit())
            case _:
                raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
