"""Few files reveal a secret's plain text, so that people can review each of them."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
REVEALS = {
    "components/nginx/site_checks.py": "a password's length, and whether a key is its certificate's",
    "portcullis/registry.py": "the header of a request to a registry, over HTTPS",
}
"""The files that may call `reveal`, with the purpose."""


def test_secrets_are_revealed_in_these_files_only() -> None:
    folders = [ROOT / "components", ROOT / "policy", ROOT / "portcullis"]
    files = {file.resolve() for folder in folders for file in folder.rglob("*.py")}
    files |= {ROOT / "__main__.py"}
    files -= {ROOT / "portcullis/config/secret.py"}  # this file itself
    found = {str(file.relative_to(ROOT)) for file in files if ".reveal(" in file.read_text()}
    assert found == set(REVEALS)
