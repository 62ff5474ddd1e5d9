"""Applies the examples of CONTRIBUTING to a copy of the repository: they change few files and work."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.docs.pages import CONTRIBUTING, ROOT

if TYPE_CHECKING:
    from pathlib import Path

# The one file that all parts share: it names every kind of resource that programs can declare.
PUBLIC_NAMES = "components/__init__.pyi"
SCHEMA = "from portcullis.provider.schema import schema_text; print(schema_text('0'))"


@dataclass(frozen=True)
class Block:
    """A code block of an example: the text of a new file, or a diff of an existing file."""

    path: str
    is_new: bool
    text: str


class Example:
    """An example in CONTRIBUTING: the files that it lists, and its code block for each file."""

    def __init__(self, title: str) -> None:
        text = CONTRIBUTING.read_text().partition(f"\n## Example: {title}\n")[2].partition("\n## ")[0]
        self.listed = re.findall(r"^- `([^`]+)`: ", text, re.MULTILINE)
        found = re.findall(
            r"^`([^`\n]+)`(, a new file)?:\n\n```(python|diff)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL
        )
        self.blocks = [Block(path, bool(new), code) for path, new, _, code in found]
        assert len(found) == text.count("\n```") / 2, "a block of code says nothing of its file"
        assert all((language == "python") == bool(new) for _, new, language, _ in found)

    def add_to(self, copy: Path) -> None:
        for block in self.blocks:
            file = copy / block.path
            assert file.exists() != block.is_new, block.path
            file.write_text(block.text if block.is_new else changed(file.read_text(), block))


def changed(text: str, block: Block) -> str:
    for part in block.text.split("@@\n"):
        lines = part.splitlines(keepends=True)
        assert all(line[0] in " +-\n" for line in lines)
        before = "".join(line[1:] or "\n" for line in lines if line[0] != "+")
        after = "".join(line[1:] or "\n" for line in lines if line[0] != "-")
        assert text.count(before) == 1, f"{block.path} must have these lines exactly once:\n{before}"
        text = text.replace(before, after)
    return text


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    folder = tmp_path / "portcullis"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, tracked.stdout.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name, follow_symlinks=False)
    return folder


def run(copy: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=copy, capture_output=True, text=True, check=False, timeout=1500
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def passes(copy: Path, *tests: str) -> None:
    run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)


def is_clean(copy: Path, example: Example) -> None:
    files = [block.path for block in example.blocks]
    run(copy, "-m", "ruff", "check", "--no-cache", *files)
    run(copy, "-m", "ruff", "format", "--no-cache", "--check", *files)


def test_a_new_setting(copy: Path) -> None:
    example = Example("a new setting")
    files = [block.path for block in example.blocks]
    assert example.listed == files
    assert len(files) <= 3
    assert all(re.match(r"(tests/)?components/fail2ban/", file) for file in files)

    example.add_to(copy)
    passes(copy, "tests/components/fail2ban")
    passes(
        copy, "tests/golden/test_settings_described.py", "tests/golden/test_components_described.py",
        "--update-golden",
    )  # fmt: skip
    for file, name in (
        ("docs/settings.schema.json", "banSpread"),
        ("docs/configuration.md", "banSpread"),
        ("docs/components.md", "ban_spread"),
    ):
        assert name not in (ROOT / file).read_text()
        assert name in (copy / file).read_text()
    is_clean(copy, example)


def test_a_new_kind(copy: Path) -> None:
    example = Example("a new kind of thing on a host")
    files = [block.path for block in example.blocks]
    assert example.listed == files
    assert len(files) <= 5
    own = [file for file in files if file != PUBLIC_NAMES]
    assert all(re.match(r"(tests/)?components/upkeep/", file) for file in own)

    example.add_to(copy)
    passes(copy, "tests/components/upkeep/test_timezone.py", "tests/provider")
    described = json.loads(run(copy, "-c", SCHEMA))["resources"]["portcullis:index:Timezone"]
    assert described["requiredInputs"] == ["host", "zone"]
    is_clean(copy, example)
