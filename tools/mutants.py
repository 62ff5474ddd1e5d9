"""Make small changes to the code, one at a time, and count how many of them make the quick tests fail.

`make mutants` works on a copy of the checkout, so a killed run does not change the checkout. A seed chooses
the mutants: the same seed chooses the same mutants.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import dataclasses
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
_TESTS = """
components/backups/job/ repository.py: tests/components/backups
components/exposure/on_host/ __init__.py docker_ports.py: tests/components/exposure
components/firewall/on_host/ ufw.py ufw_rules.py: tests/components/firewall {claims}
components/host/ crosschecks.py: tests/config {host}
components/nginx/ site_checks.py: tests/config {host}
components/previews/on_host/ docker_view.py preview.py: tests/components/previews
components/ssh/on_host/ ssh_servers.py sshd_config.py: tests/components/ssh {claims}
components/users/on_host/ key_files.py users.py: tests/components/users {claims}
policy/ containers.py firewall_rules.py login.py network.py secrets.py sites.py stores.py: {policy}
portcullis/agent/ guard.py: {guard}
portcullis/agent/ operations.py: {operations} {guard} tests/resources
portcullis/agent/ safe_paths.py: {paths} tests/resources/file
portcullis/config/ forms.py: tests/config {host}
portcullis/host/ session.py: tests/host
""".format(
    claims="tests/components/inventory/test_claims.py",
    guard="tests/agent/test_guard.py tests/agent/test_crash.py",
    host="tests/components/host/test_stores_of_a_host.py",
    operations="tests/agent/test_operations.py tests/agent/test_survey.py tests/agent/test_protocol.py",
    paths="tests/agent/test_safe_paths.py tests/agent/test_unprivileged.py",
    policy="tests/policy/test_policy_examples.py tests/policy/test_policy_findings.py",
)
MODULES = {
    f"{words.split()[0]}{module}": tests
    for words, tests in (line.split(":") for line in _TESTS.strip().splitlines())
    for module in words.split()[1:]
}
"""The modules to change, each with its quick tests."""
_OPPOSITE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
# These are for comparisons with a clock, because no test hits the moment at which `<` and `<=` differ.
_REVERSED = {ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt}
_NO_CODE = ("annotation", "returns", "decorator_list", "exc", "cause", "format_spec")
_WORDS = ("HostError", "Finding", "Policy", "Step")
_GOAL = 0.95


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One change: `new` replaces the bytes from `start` to `end` of a file."""

    line: int
    start: int
    end: int
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.line}: {' '.join(self.old.split())[:70]}  ->  {' '.join(self.new.split())[:70]}"


def mutants(source: bytes) -> list[Mutant]:
    """Return every mutant of a module, except changes of texts for people, annotations and time limits."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []
    for node, new in _walk(ast.parse(source)):
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
        found.append(Mutant(node.lineno, start, end, source[start:end].decode(), new))
    return found


def _walk(node: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    if isinstance(node, ast.expr | ast.stmt):
        yield from ((node, new) for new in _changed(node))
    for test in [node.test] if isinstance(node, ast.If | ast.While) else getattr(node, "ifs", ()):
        if not isinstance(test, ast.Compare | ast.BoolOp | ast.UnaryOp):
            yield test, f"(not {ast.unparse(test)})"
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and name not in _NO_CODE and not _is_for_people(child):
                yield from _walk(child)


def _is_for_people(node: ast.AST) -> bool:
    """Return whether a node is a text for people, or code that never runs."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in _WORDS
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    if isinstance(node, ast.Raise):
        return ast.unparse(node) == "raise AssertionError('unreachable')"
    docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return docstring or isinstance(node, ast.JoinedStr)


def _changed(node: ast.expr | ast.stmt) -> Iterator[str]:  # noqa: C901 - one branch a form
    match node:
        case ast.Compare(ops=[operator]) if type(operator) in _OPPOSITE:
            opposite = _OPPOSITE | (_REVERSED if "time.monotonic()" in ast.unparse(node) else {})
            yield f"({ast.unparse(ast.Compare(node.left, [opposite[type(operator)]()], node.comparators))})"
        case ast.BoolOp(op=operator, values=values):
            other = ast.Or() if isinstance(operator, ast.And) else ast.And()
            yield f"({ast.unparse(ast.BoolOp(other, values))})"
            for at in range(len(values)):
                yield f"({ast.unparse(ast.BoolOp(operator, values[:at] + values[at + 1 :]))})"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield f"({ast.unparse(operand)})"
        case ast.IfExp(body=body, orelse=orelse):
            yield from (f"({ast.unparse(only)})" for only in (body, orelse))
        case ast.Constant(value=bool() as value):
            yield str(not value)
        case ast.Constant(value=int() as value):
            yield str(value + 1)
        case ast.Constant(value=str() as value) if value and " " not in value:
            yield repr(value + "x")
        case ast.Expr(value=ast.Call() | ast.Yield() | ast.YieldFrom()) | ast.Raise():
            yield "pass"
        case ast.Return(value=ast.expr() as value) if ast.unparse(value) != "None":
            yield "return None"
        case ast.Continue():
            yield "break"


def _copy(folder: Path) -> Path:
    """Copy the files that git knows, in their present state."""
    listed = "git ls-files -z --cached --others --exclude-standard"
    pack = f"{listed} | tar --null -T - --ignore-failed-read -c | tar -x -C {folder}"
    subprocess.run(["bash", "-ec", pack], cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
    (folder / ".venv").symlink_to((ROOT / ".venv").resolve())
    return folder


def _pass(checkout: Path, tests: str, limit: float) -> bool:
    """Return whether the tests pass within `limit` seconds."""
    pytest = f"{ROOT}/.venv/bin/python -B -m pytest -qx -n0 -p no:cacheprovider -m".split()
    with subprocess.Popen(
        [*pytest, "not e2e", *tests.split()], cwd=checkout, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as run:  # fmt: skip
        try:
            return run.wait(limit) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGKILL)  # this ends also the processes that the tests started


def judge(checkout: Path, module: str, tests: str, chosen: random.Random, most: int) -> tuple[int, int]:
    """Print the surviving mutants of a module.

    Return the number of killed mutants and the number of all mutants.
    """
    path, begun = checkout / module, time.monotonic()
    source = path.read_bytes()
    if not _pass(checkout, tests, 600):
        raise SystemExit(f"error: the tests {tests} fail also on the unchanged code")
    limit = 20 + 3 * (time.monotonic() - begun)
    every = mutants(source)
    drawn, killed = sorted(chosen.sample(every, min(most, len(every))), key=lambda one: one.start), 0
    for mutant in drawn:
        path.write_bytes(source[: mutant.start] + mutant.new.encode() + source[mutant.end :])
        if _pass(checkout, tests, limit):
            print(f"survived {module}:{mutant}", flush=True)
        else:
            killed += 1
    path.write_bytes(source)
    print(f"{module}: {killed} of {len(drawn)}", flush=True)
    return killed, len(drawn)


def main() -> int:
    """Test the mutants of the named modules, or of all modules.

    Fail if the tests kill less than 95 % of the mutants.
    """
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", help="how the paths of the modules begin (default: all)")
    parser.add_argument("--seed", type=int, default=15)
    parser.add_argument("--most", type=int, default=12, help="mutants of each module (default: %(default)s)")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # this ends the tests and removes the copy
    done = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        checkout = _copy(Path(folder))
        for module, tests in MODULES.items():
            if module.startswith(tuple(asked.modules) or ""):
                chosen = random.Random(f"{asked.seed} {module}")  # noqa: S311 - to be repeated
                done.append(judge(checkout, module, tests, chosen, asked.most))
    killed, drawn = (sum(column) for column in zip(*done, strict=True))
    print(f"in all: {killed} of {drawn} mutants killed ({100 * killed / drawn:.1f} %)")
    return 0 if killed >= _GOAL * drawn else 1


if __name__ == "__main__":
    sys.exit(main())
