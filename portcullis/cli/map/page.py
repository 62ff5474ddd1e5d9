"""The map as one HTML page: the picture, undeclared items, changes, and the folded Mermaid text."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from portcullis.cli.map.mermaid import mermaid
from portcullis.cli.map.model import differences
from portcullis.cli.map.svg import svg

if TYPE_CHECKING:
    from collections.abc import Iterable

    from portcullis.cli.map.model import Map

_HEAD = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, 'DejaVu Sans', sans-serif; color: #111; background: #fff }}
body {{ margin: 2rem auto; max-width: 1120px; padding: 0 1rem }}
svg {{ max-width: 100%; height: auto; border: 1px solid #ccc; border-radius: 8px }}
h2, details {{ margin-top: 2rem }}
h2, summary {{ font-size: 1.1rem; font-weight: bold }}
.undeclared li {{ color: #7d140b }}
code, pre {{ font: 13px/1.4 ui-monospace, 'DejaVu Sans Mono', monospace }}
pre {{ background: #f5f7fa; padding: 1rem; overflow: auto; border-radius: 6px }}
</style>
</head>
<body>
"""


def page(found: Map) -> str:
    """Return the map as an HTML page."""
    parts = [_HEAD.format(title=escape(found.title)), svg(found)]
    if found.undeclared:
        lines = [f"{node.label} on {node.host}: {node.detail}" for node in found.undeclared]
        parts += ["<h2>Open, but not declared</h2>\n", _list(lines, "undeclared")]
    if found.others:
        parts += ["<h2>Other undeclared things</h2>\n", _list(found.others, "undeclared")]
    if changes := differences(found):
        parts += ["<h2>What the change adds and removes</h2>\n", _list(changes, "changes")]
    source = f"<pre>{escape(mermaid(found))}</pre>"
    parts += [f"<details>\n<summary>As Mermaid text</summary>\n{source}\n</details>\n", "</body>\n</html>\n"]
    return "".join(parts)


def _list(lines: Iterable[str], kind: str) -> str:
    items = "".join(f"<li><code>{escape(line)}</code></li>\n" for line in lines)
    return f'<ul class="{kind}">\n{items}</ul>\n'
