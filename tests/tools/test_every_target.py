"""The night starts every target of the Makefile."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tools.every_target import ARGUMENTS, EXCLUDED, LAST, main, targets
from tools.steps import ROOT

if TYPE_CHECKING:
    from pathlib import Path

MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = targets(MAKEFILE)


def test_the_script_knows_each_target_and_no_other() -> None:
    declared = " ".join(re.findall(r"^\.PHONY: (.*)", MAKEFILE, re.MULTILINE)).split()
    # The others of make are steps of these: they have no line in `make help`.
    assert (
        set(declared) - {*TARGETS, "ready", "ready-to-test", "ready-for-quick-tests", "tools-only"} == set()
    )
    assert {*ARGUMENTS, *EXCLUDED, *LAST} <= set(TARGETS)


@pytest.mark.parametrize("target", [target for target in TARGETS if target not in EXCLUDED])
def test_a_recipe_can_be_read_and_each_path_in_it_is_there(target: str) -> None:
    argv = ["make", "--dry-run", target, *ARGUMENTS.get(target, ())]
    # `make test` may itself run below a `make -j`.
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"(?:warning|error): .*", done.stderr) == []
    for path in re.findall(r"(?<![\w./-])(?:tests|tools|lab)/[\w./-]*\w(?![\w*])", done.stdout):
        assert (ROOT / path).exists(), path
    for module in re.findall(r"python -m ((?:benchmarks|tests|tools)[\w.]*)", done.stdout):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_a_target_that_fails_is_told_and_the_others_start(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipes = "".join(
        f"{target}: ## a target\n\t{recipe}\n"
        for target, recipe in {
            "destroy": "test ! -t 0", "breaks": "exit 3", "password": "test $(STORE) = redis",
            "test-all": "touch ran", "new": "touch new",
        }.items()
    )  # fmt: skip
    (tmp_path / "Makefile").write_text(f"{recipes}hidden:\n\ttouch ran\n")
    assert main([], tmp_path) == 1
    said = capfd.readouterr().err.splitlines()
    assert [line for line in said if line.startswith("FAILED")] == ["FAILED  make breaks"]
    began = [line.split("'")[3] for line in said if line.startswith("==> ")]
    assert began == ["breaks", "password", "new", "destroy"]
    assert (tmp_path / "new").exists()
    assert not (tmp_path / "ran").exists()
    assert main(["new"], tmp_path) == 0
