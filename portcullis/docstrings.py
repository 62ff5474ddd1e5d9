"""Reads the docstrings below the fields of a class: their descriptions in schemas and reference tables."""

from __future__ import annotations

import ast
import inspect
import textwrap
from itertools import pairwise


def docstrings(declared: type) -> dict[str, str]:
    """Return the docstring below each field of a class, without fields of its bases."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(declared)))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef))
    found = {}
    for field, text in pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
            and isinstance(text.value.value, str)
        ):
            found[field.target.id] = " ".join(text.value.value.split())
    return found
