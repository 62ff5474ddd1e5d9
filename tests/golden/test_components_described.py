"""The page docs/components.md is what the code of the components generates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from portcullis import components
from portcullis.components import Fail2ban, Fail2banArgs
from portcullis.config.reference import with_reference

if TYPE_CHECKING:
    from tests.golden.conftest import Golden

PAGE = Path(__file__).parents[2] / "docs/components.md"
EMPTY = "before\n<!-- components -->\nwritten-before\n<!-- end -->\nafter\n"


def test_reference_of_the_components(golden: Golden) -> None:
    public = {name: getattr(components, name) for name in components.__all__}
    golden(PAGE, with_reference(PAGE.read_text(), public))


def test_a_component_has_its_example_its_arguments_and_its_wiring() -> None:
    page = with_reference(EMPTY, {"Fail2ban": Fail2ban, "Fail2banArgs": Fail2banArgs})
    assert page.startswith("before\n<!-- components -->\n| component |")
    assert page.endswith("<!-- end -->\nafter\n")
    assert "written-before" not in page
    assert "| [`Fail2ban`](#fail2ban) | fail2ban with a jail for the SSH server, and" in page
    assert "```python\nfrom portcullis.components import Fail2ban, Fail2banArgs\n" in page
    assert "### Fail2banArgs\n" in page
    assert "\n| `max_retry` | The number of failed logins that leads to a ban. | `5` |\n" in page
    assert "\n| `ssh_port` | `int` | the port of the host's SSH server. | `22` |\n" in page
    assert "| `name` |" not in page


def test_an_argument_that_no_docstring_describes_is_told() -> None:
    class Silent(Fail2ban):
        def __init__(self, name: str, *, loud: bool) -> None:
            """Say nothing."""

    with pytest.raises(ValueError, match="Silent: the docstring does not describe the arguments loud"):
        with_reference(EMPTY, {"Silent": Silent})
