"""docs/ and the schema describe the settings that the program reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from portcullis.components.host.stack import StackArgs, load
from portcullis.config.describe import json_schema, with_tables

if TYPE_CHECKING:
    from tests.golden.conftest import Golden

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/configuration.md"


def test_schema_for_editors(golden: Golden) -> None:
    golden(ROOT / "docs/settings.schema.json", json_schema(StackArgs))


def test_tables_in_the_configuration_page(golden: Golden) -> None:
    golden(PAGE, with_tables(PAGE.read_text(), StackArgs))


def test_example_in_the_configuration_page_is_valid() -> None:
    example = PAGE.read_text().partition("```yaml\n")[2].partition("```")[0]
    assert load(_portcullis(example)).sites_on("web1")


def test_stack_prod_is_valid_as_it_stands() -> None:
    settings = load(_portcullis((ROOT / "Pulumi.prod.yaml").read_text()))
    assert settings.hosts["web1"].address == "203.0.113.10"


def test_every_section_is_declared_in_the_project_file() -> None:
    declared = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    assert set(declared) == {f"portcullis:{key}" for key in StackArgs.model_fields}


def _portcullis(text: str) -> dict[str, Any]:
    config = yaml.safe_load(text)["config"]
    return {key.removeprefix("portcullis:"): value for key, value in config.items()}
