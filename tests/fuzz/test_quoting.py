"""Quoted text is read back unchanged, and no program reads a part of the text as syntax."""

from __future__ import annotations

import io
import re
import shlex
import subprocess
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from portcullis.cli.map import comment, mermaid, page, svg
from portcullis.cli.map.model import Map, Node
from portcullis.cli.pipeline import markdown
from portcullis.cli.report import differences, terminal
from portcullis.cli.report.render import Row
from portcullis.components.inventory import remedies
from portcullis.components.nginx.on_host.nginx_config import directives
from portcullis.components.nginx.render import tree
from portcullis.components.redis.on_host import resp
from portcullis.components.tunnels.render import tunnel_lines
from portcullis.components.upkeep import render as upkeep
from portcullis.components.users.on_host import authorized_keys
from portcullis.host import bootstrap
from portcullis.host.errors import HostError
from portcullis.printable import one_line, printable, printable_values
from portcullis.rendering import word
from tests.fuzz import texts as fuzz
from tests.fuzz.texts import texts, values

SHELL_QUOTED = re.compile(r"'[^']*'")
# Shell syntax that our tables of remedies contain.
TEMPLATES = (
    'cd "$(mktemp -d)"',
    "_*.deb",
    "common-*.pam-old",
    ": >",
    '"security.capability"',
)
META = set('`$()<>\n*?#~"\\{}![]')


def bare(command: str) -> str:
    """Return the part of a command that is not in quotes, without the shell syntax of our own templates."""
    # shlex writes ' as '"'"'.
    rest = SHELL_QUOTED.sub("", command.replace("'\"'\"'", ""))
    for template in TEMPLATES:
        rest = rest.replace(template, "")
    return rest


TOKENS = {
    "tail": "TAIL", "mode": "0000", "number": "1234567", "package": "token0", "path": "/TOKEN/A", "source": "/TOKEN/B",
}  # fmt: skip
"""Operands by the name of their place in a command, each of which is a valid operand of its kind."""


def operands_of(action: str) -> list[str]:
    """Return the names of an action's operands."""
    names = dict.fromkeys(re.findall(r"{(\w+)}", remedies._ACTIONS[action][1]))
    return [name for name in names if name != "cached"]


@given(texts("/etc/a b", "x y", "/etc/shadow", "-rf", "bash", "0644"))
def test_each_word_of_a_command_is_a_constant_or_the_operand_in_its_place(operand: str) -> None:
    for action in remedies._ACTIONS:
        names = operands_of(action)
        tokens = [TOKENS.get(name, f"TOKEN{number}") for number, name in enumerate(names)]
        model = shlex.split(remedies.command("files", [(action, *tokens)]))
        for token in tokens:
            operands = [operand if each == token else each for each in tokens]
            way = remedies.command("files", [(action, *operands)])
            if not way:
                continue  # the operand is none of its kind
            assert way.isprintable()
            words = [word_.replace(token, operand) for word_ in model]
            if token == TOKENS["path"]:  # ucf's copy has colons in its name
                words = [word_.replace(":TOKEN:A", operand.replace("/", ":")) for word_ in words]
            assert shlex.split(way) == words, way
            assert not set(bare(way)) & META, way
            assert bare(way).count("|") <= 2, way


@given(fix=st.lists(st.sampled_from(sorted(remedies._ACTIONS)) | texts("/etc/x"), max_size=4))
def test_any_fix_of_a_host_is_a_command_that_a_shell_can_parse_or_none(fix: list[str]) -> None:
    shlex.split(remedies.remedy("files", [fix]))


@given(st.lists(texts().filter(lambda text: "\0" not in text and fuzz.is_utf8(text)), max_size=4))
def test_quoted_words_survive_a_shell(words: list[str]) -> None:
    quoted = " ".join(map(shlex.quote, words))
    assert shlex.split(quoted) == words


@given(texts(bootstrap._LOADER).filter(lambda text: "\0" not in text))
def test_a_script_is_one_word_for_any_login_shell(script: str) -> None:
    assert shlex.split(f"exec sh -c {shlex.quote(script)}") == ["exec", "sh", "-c", script]


# nginx -------------------------------------------------------------------------------------------------------

WORDS = texts("application/json", "a b", "max-age=1; x", "'self' data:", "^~ \\.php$", "C:\\x\\")


@given(st.lists(WORDS, min_size=1, max_size=4))
def test_words_of_nginx_survive_rendering(words: list[str]) -> None:
    try:
        text = tree.render([tree.block("location", "/", body=[tree.directive("add_header", *words)])])
    except ValueError:
        return
    found = list(directives(text))
    # Within quotes, nginx removes the backslash before a quote or a backslash.
    assert [len(line) for line in found] == [2, 1 + len(words)]
    assert [
        re.sub(r'\\(["\\])', r"\1", word) if needs_quotes(mine) else word
        for word, mine in zip(found[1][1:], words, strict=True)
    ] == words


def needs_quotes(text: str) -> bool:
    return tree.quoted(text).startswith('"')


# systemd -----------------------------------------------------------------------------------------------------


def unquoted(line: str) -> list[str]:
    """Return the words of a command line by the rules of systemd.service(5). All words are in quotes."""
    found = []
    for word_ in re.findall(r'"((?:[^"\\]|\\.)*)"', line, re.DOTALL):
        data = re.sub(
            rb"\\(x([0-9a-f]{2})|.)",
            lambda match: bytes([int(match[2], 16)]) if match[2] else match[1],
            word_.encode("utf-8", "surrogatepass"),
            flags=re.DOTALL,
        )
        found.append(data.decode("utf-8", "surrogatepass").replace("%%", "%").replace("$$", "$"))
    return found


@given(
    st.lists(
        texts("/usr/bin/mail", "a b", "50%", "$HOME", 'say "x"').filter(
            lambda text: "\0" not in text and fuzz.is_utf8(text)
        ),
        min_size=1,
        max_size=4,
    )
)
def test_words_of_a_units_command_survive_rendering(words: list[str]) -> None:
    text = upkeep.notify_service("notify", words)
    (line,) = [line for line in text.split("\n") if line.startswith("ExecStart=")]
    assert unquoted(line) == words
    assert line.endswith(" %i")
    # The line has no variable, and no specifier except our own.
    assert not re.search(r"(?<!%)(?:%%)*%(?!%)", line.removesuffix("%i"))
    assert not re.search(r"(?<!\$)(?:\$\$)*\$(?!\$)", line)


# keys, Redis, words of configuration -------------------------------------------------------------------------

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g"


@given(st.lists(texts(f"{KEY} me", f'from="10.0.0.1" {KEY}'), max_size=5))
def test_openssh_finds_no_key_that_we_miss(lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    data = text.encode("utf-8", "surrogatepass")
    done = subprocess.run(
        ["ssh-keygen", "-l", "-f", "/dev/stdin"], input=data, capture_output=True, check=False
    )
    theirs = set(re.findall(rb"SHA256:\S+", done.stdout)) if done.returncode == 0 else set()
    ours = authorized_keys.parse_all(data.decode("utf-8", "surrogateescape"))
    assert theirs <= {key.fingerprint.encode() for key in ours}


@given(st.dictionaries(st.text(max_size=5), texts(f"{KEY} me", f"{KEY}\n{KEY}"), max_size=4))
def test_a_rendered_key_is_one_line(keys: dict[str, str]) -> None:
    rendered = authorized_keys.render(keys, "deploy")
    assert rendered.count("\n") == 1 + len(keys)


@given(st.lists(texts("AUTH", "a b\r\nFLUSHALL").filter(fuzz.is_utf8), max_size=4))
def test_words_to_redis_survive_encoding(words: list[str]) -> None:
    data = b"*%d\r\n" % len(words) + b"".join(map(resp._bulk, words))
    at, found = data.index(b"\r\n") + 2, []
    for _ in words:
        size, _, _ = data[at + 1 :].partition(b"\r\n")
        begin = at + 1 + len(size) + 2
        found.append(data[begin : begin + int(size)].decode())
        at = begin + int(size) + 2
    assert found == words
    assert at == len(data)


@given(texts("web1", "a/b:c@d-e_f.g"))
def test_a_word_of_a_file_has_safe_characters_only(text: str) -> None:
    try:
        assert re.fullmatch(r"[A-Za-z0-9._:/@-]+", word(text))
    except ValueError:
        return


@given(user=texts("ann"), database=st.sampled_from(["shop", "a_b"]), port=st.integers(1, 65535))
def test_a_user_name_survives_in_a_url(user: str, database: str, port: int) -> None:
    if not fuzz.is_utf8(user):
        return
    for url in (tunnel_lines.redis_url(user, port), tunnel_lines.mongodb_url(user, database, port)):
        parts = urlsplit(url)
        assert unquote(parts.username or "") == user
        assert (parts.hostname, parts.port) == ("localhost", port)


# Mermaid, HTML, Markdown, terminals --------------------------------------------------------------------------

NODES = st.lists(
    st.tuples(
        st.sampled_from(["who", "port", "site", "container", "store"]),
        texts("443/tcp", "api"),
        texts("detail"),
        st.sampled_from(["declared", "undeclared"]),
    ),
    min_size=2,
    max_size=5,
)


def drawn(nodes: list[tuple[str, str, str, str]], extra: str) -> Map:
    found = Map("lab", extra, [extra])
    for number, (column, label, detail, status) in enumerate(nodes):
        found.add(Node(f"{column}:{number}", column, "web1", label, detail, status))
    keys = list(found.nodes)
    for one, other in pairwise(keys):
        found.join(one, other, extra)
    return found


@given(nodes=NODES, extra=texts("by hand"))
def test_a_label_in_mermaid_cannot_be_syntax(nodes: list[tuple[str, str, str, str]], extra: str) -> None:
    found = drawn(nodes, extra)
    lines = mermaid.mermaid(found).splitlines()
    shapes = r"\w+\d+(?:\[|\(\[|\{\{|\[\()\"[\w ./:,*#;<>-]*\"(?:\]|\]\)|\}\}|\)\])(?::::\w+)?"
    edges = r"\w+\d+ -->(?:\|\"[\w ./:,*#;-]*\"\|)? \w+\d+"
    for line in lines[1:]:
        assert re.fullmatch(
            rf"    (?:{shapes}|{edges}|linkStyle \d+ [\w:#, ,-]+|classDef [\w:#, ,-]+)", line, re.ASCII
        ), line
        assert "<" not in line.replace("<br/>", ""), line


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.said: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        assert not any(name.startswith("on") or name in ("href", "src") for name, _ in attrs), attrs

    def handle_data(self, data: str) -> None:
        self.said.append(data)


@given(nodes=NODES, extra=texts("by hand"))
def test_a_label_on_a_page_cannot_be_markup(nodes: list[tuple[str, str, str, str]], extra: str) -> None:
    found = drawn(nodes, extra)
    parsed = _Page()
    parsed.feed(page.page(found))
    known = {
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "svg",
        "g",
        "rect",
        "text",
        "path",
        "defs",
        "marker",
        "tspan",
        "line",
        "polygon",
        "h2",
        "ul",
        "li",
        "code",
        "details",
        "summary",
        "pre",
        "desc",
    }
    assert parsed.tags <= known, parsed.tags - known
    ET.fromstring(svg.svg(found))  # noqa: S314 - our own


@given(text=texts("a\n```\nb", "~~~", "    - x"), language=st.sampled_from(["", "diff"]))
def test_text_cannot_end_its_block_of_code(text: str, language: str) -> None:
    lines = markdown.fenced(text, language).split("\n")
    fence = re.match("`+", lines[0])
    assert fence
    closing = [
        n for n, line in enumerate(lines[1:], 1) if re.fullmatch(rf" {{0,3}}`{{{len(fence[0])},}}\s*", line)
    ]
    assert closing[:1] == [len(lines) - 1]


@given(texts("a`b", "x\ny", "<script>"))
def test_text_cannot_end_its_inline_code(line: str) -> None:
    said = comment.code(line)
    assert re.fullmatch(r"`[^`\n\r]*`", said), said


@given(texts("prod", "a --> b"))
def test_a_stack_name_cannot_end_its_marker_comment(stack: str) -> None:
    said = markdown.marker("preview", stack)
    assert re.fullmatch(r"<!-- portcullis preview [A-Za-z0-9._/-]* -->", said)


@given(
    text=texts("plain", "[red]x[/red]", "::error::x"), remedy=texts("up fixes it"), width=st.integers(24, 120)
)
def test_a_row_on_a_terminal_is_printable(text: str, remedy: str, width: int) -> None:
    text, remedy = differences.clean(text), differences.clean(remedy)
    stream = io.StringIO()
    terminal.Screen(stream, width=width).show([Row(text, remedy, "!!"), Row(text, style="title")])
    said = stream.getvalue()
    assert fuzz.printable(said), said
    assert fuzz.is_utf8(said)


# Printable text ----------------------------------------------------------------------------------------------

HOSTILE = texts("\x1b[2J", "<{%reset%}>", "::stop-commands::x", "##[group]x", "##vso[x]", "a\r\nb", "\u202eb")


@given(HOSTILE)
def test_printable_text_has_no_control_sequence_and_no_pipeline_command(text: str) -> None:
    for shown in (
        printable(text),
        one_line(text),
        differences.clean(text),
        str(HostError(text, detail=text, hint=text)),
    ):
        assert fuzz.printable(shown)
        assert fuzz.is_utf8(shown)
        assert "<{%" not in shown
        assert not re.search(r"^\s*::[\w-]+(?: [^\n]*?)?::", shown, re.MULTILINE), shown
        assert not re.search(r"##[a-z]*\[", shown), shown
    assert printable(printable(text)) == printable(text)
    assert "\n" not in one_line(text)
    assert printable(text).count("\n") == text.count("\n")


@given(values)
def test_values_are_made_printable_at_any_depth(value: Any) -> None:
    made = printable_values(value)
    assert printable_values(made) == made or made != made  # noqa: PLR0124 - NaN is not itself
