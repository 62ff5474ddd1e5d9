"""The program that makes small changes to the code to check the tests; `make mutants` runs it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tools import mutants

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SOURCE = b'''\
"""Words."""
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import os

def admits(age: int, name: str = "") -> bool:
    """Words."""
    if age < 18 and not name:
        raise ValueError("too young")
    return True
'''


def found(source: bytes) -> list[str]:
    return [f"{one.old} > {one.new}" for one in mutants.mutants(source)]


def test_every_small_change_is_one_and_words_are_none() -> None:
    assert found(SOURCE) == [
        "age < 18 and not name > (age < 18 or not name)",
        "age < 18 and not name > (not name)",
        "age < 18 and not name > (age < 18)",
        "age < 18 > (age <= 18)",
        "18 > 19",
        "not name > (name)",
        'raise ValueError("too young") > pass',
        "return True > return None",
        "True > False",
    ]


def test_forms_of_code() -> None:
    assert found(b"x = a if b else 'c'\n") == [
        "a if b else 'c' > (a)",
        "a if b else 'c' > ('c')",
        "'c' > 'cx'",
    ]
    assert found(b"x = time.monotonic() < y\n") == ["time.monotonic() < y > (time.monotonic() >= y)"]
    assert found(b"raise AssertionError('unreachable')\n") == []
    assert found(b"raise AssertionError('too late')\n") == ["raise AssertionError('too late') > pass"]
    assert found(b"[f(a) for a in b if a]\n") == ["a > (not a)"]
    assert found(b"for a in b:\n    if a:\n        continue\n    f(a)\n") == [
        "a > (not a)", "continue > break", "f(a) > pass",
    ]  # fmt: skip
    assert found("x = 'ä' in y\n".encode()) == ["'ä' in y > ('ä' not in y)", "'ä' > 'äx'"]
    assert found(b"HostError('code', 1)\nf'{x}'\nx = 'two words'\ny = 1.5\n") == [
        "HostError('code', 1) > pass"
    ]


def test_what_no_test_notices_is_told_and_the_module_is_as_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = tmp_path / "ages.py"
    module.write_bytes(b"def admits(age):\n    return age < 18\n")
    test = "from ages import admits\n\ndef test_it():\n    assert admits(17) and not admits(19)\n"
    (tmp_path / "test_ages.py").write_text(test)
    done = mutants.judge(tmp_path, "ages.py", "test_ages.py", random.Random(1), 9)  # noqa: S311
    assert done == (1, 3)
    assert capsys.readouterr().out.splitlines() == [
        "survived ages.py:2: age < 18  ->  (age <= 18)",
        "survived ages.py:2: 18  ->  19",
        "ages.py: 1 of 3",
    ]
    assert module.read_bytes() == b"def admits(age):\n    return age < 18\n"


def test_every_module_and_its_tests_are_there() -> None:
    for module, tests in mutants.MODULES.items():
        for path in (module, *tests.split()):
            assert (mutants.ROOT / path).exists(), path
