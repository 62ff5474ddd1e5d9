"""nginx reads our quoting as we mean it: a text in a file comes out unchanged at the client."""

from __future__ import annotations

import random
import string
from typing import TYPE_CHECKING

from tests.golden.nginx_sites import changed
from tests.proxy import catalogue, hosts, roots
from tests.proxy.edge import serving
from tests.proxy.traps import APP

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = [
    'a"; evil on; "',
    "a'; evil on; '",
    "a; } evil { b",
    "back\\slash",
    'both\\"',
    "at the end\\",
    "\\n and \\t",
    "#comment",
    "a # b",
    "~.*",
    "default",
    "{}",
    "''",
    '"',
]


def test_a_quoted_text_comes_back_byte_for_byte(tmp_path: Path) -> None:
    chance = random.Random(20261125)  # noqa: S311 (the same texts each time)
    alphabet = "".join(set(string.printable) - set(string.whitespace) - {"$"}) + ";{}\"'\\# " * 6
    texts = HOSTILE + ["".join(chance.choices(alphabet, k=12)).strip() or "a" for _ in range(200)]
    site = next(site for site in hosts.SITES if site.name == APP)
    # The client of these tests accepts 100 headers at most.
    parts = [texts[begin : begin + 70] for begin in range(0, len(texts), 70)]
    sites = [
        changed(
            site,
            name=f"q{number}.example.com",
            aliases=(),
            redirect_from=(),
            headers={f"X-{index}": text for index, text in enumerate(part)},
        )
        for number, part in enumerate(parts)
    ]
    root = roots.root("debian-12")
    with serving(root, tmp_path, catalogue.files(root, sites)) as edge:
        for each in sites:
            found = edge.ask(each.name)
            for name, text in each.args.headers.items():
                assert found[name] == text
