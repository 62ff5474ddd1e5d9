"""Hostile stack files, as an attacker or a broken program would write them.

The same number always gives the same file.
"""

from __future__ import annotations

import json
import random
import re
from functools import cache
from typing import Any

import yaml

from portcullis.components.host.stack import StackArgs
from portcullis.config.describe import json_schema
from tests.config.test_settings import IMAGE, KEY, smallest
from tests.fuzz.texts import NASTY

PLAUSIBLE = (
    "web1",
    "api",
    "redis",
    "mongo",
    "mongo.shop",
    "deploy",
    "root",
    "203.0.113.10",
    "2001:db8::10",
    "10.0.0.0/8",
    "2001:db8::/32",
    "fe80::1%eth0",
    "www.example.com",
    "api.example.com",
    "debian-13",
    "debian-12",
    KEY,
    IMAGE,
    "redis:8",
    "/healthz",
    "/api/",
    "/data",
    "data",
    "10m",
    "7d",
    "30",
    "443/tcp",
    "53/udp",
    "8080",
    "allow",
    "https://www.example.com",
    "ops@example.com",
    "1000:1000",
    "LOG_LEVEL",
    "stripe_key",
    "internal",
    "none",
    "acme",
    "dns",
    "http",
    "cloudflare",
    "172.17.0.1/16",
    "lb1",
    "eth0",
    "net.ipv4.ip_forward",
    "1",
    "on",
    "default-src 'self'",
    "X-Robots-Tag",
    "GET",
    "no-store",
    "listener tcp4 0.0.0.0:8080",
    "/etc/foo",
    "AllowTcpForwarding",
    "rest:https://backup.example.com/x",
    "strict",
    "modern",
    "intermediate",
    "required",
)
_WRONG: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    22,
    65536,
    10**30,
    -(10**400),
    1.5,
    1e308,
    float("nan"),
    float("inf"),
    float("-inf"),
    "",
    " ",
    [],
    {},
    [[]],
    [None],
    {"": ""},
    [{}],
    {"a": {"b": {"c": []}}},
    ["a", 1, None],
    {"secure": "v1:abc"},
    {"secure": 1},
    "9" * 5000,
    "x" * 100_000,
    "1e999999999",
    "0x1f",
    "1_000",
    "010",
    "12:30:00",
    "2026-11-27",
    "\u0661\u0662",
    "\u212aelvin",
    "web\u0455",
    "a\u0300",
    "\ufb01le",
    "\uff11\uff12",
    "xn--" + "a" * 300,
    "straße.example.com",
    "..",
    "a..b",
    "-",
    "fe80::1%eth0; id",
    "::ffff:1.2.3.4",
    "%n%s",
)
_NAMES = (
    "",
    " ",
    ".",
    "..",
    "/",
    "a/b",
    "../../etc/passwd",
    "a\nb",
    "a\n  portcullis:hosts: is fine",
    "a\0b",
    "\x1b[2J",
    "\u202ea",
    "web\u0455",
    "API",
    "__proto__",
    "[key]",
    "constructor",
    "a" * 300,
    "9" * 30,
    "true",
    "~",
    "null",
    "a.b",
    "hosts",
    "[0]",
    "*",
    "?",
    "*.example.com",
    "EXAMPLE.com.",
    "пример.рф",
    "\ud800",
    "<{%reset%}>",
    "::stop-commands::x",
    "%s",
    "{x}",
)


@cache
def _schema() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json_schema(StackArgs))
    return found


def keys() -> list[str]:
    """Return the keys of a stack's file."""
    return [key.partition(":")[2] for key in _schema()["properties"]["config"]["properties"]]


def file(number: int) -> str:
    """Return the text of one stack file."""
    rng = random.Random(number)  # noqa: S311 - not a secret
    way = _WAYS[number % len(_WAYS)]
    return way(rng)


# Values ------------------------------------------------------------------------------------------------------


def _config(rng: random.Random, wrong: float) -> dict[str, Any]:
    """Return settings of the right shape. `wrong` is the share of values that are wrong."""
    described = _schema()["properties"]["config"]
    config = _object(rng, described, wrong, 0)
    config = {key.partition(":")[2]: value for key, value in config.items()}
    return {**smallest(), **config} if rng.random() < 0.8 else config


def _value(rng: random.Random, schema: Any, wrong: float, depth: int) -> Any:  # noqa: C901, PLR0911 - a branch for each form
    if rng.random() < wrong or not isinstance(schema, dict) or depth > 12:
        return rng.choice(_WRONG) if rng.random() < 0.7 else rng.choice(NASTY)
    if "$ref" in schema:
        return _value(rng, _schema()["$defs"][schema["$ref"].rpartition("/")[2]], wrong, depth)
    if "anyOf" in schema:
        return _value(rng, rng.choice(schema["anyOf"]), wrong, depth)
    if "enum" in schema:
        return rng.choice(schema["enum"])
    if "const" in schema:
        return schema["const"]
    kind = schema.get("type")
    if kind == "object":
        return _object(rng, schema, wrong, depth)
    if kind == "array":
        return [_value(rng, schema.get("items", {}), wrong, depth + 1) for _ in range(rng.randrange(4))]
    if kind == "string":
        return _text(rng, schema.get("pattern", ""))
    if kind == "integer":
        return rng.choice([schema.get("minimum", 1), schema.get("maximum", 9), rng.randrange(1, 70_000)])
    if kind == "number":
        return rng.choice([schema.get("minimum", 1), schema.get("maximum", 9), 0.1])
    return rng.random() < 0.5


def _object(rng: random.Random, schema: dict[str, Any], wrong: float, depth: int) -> dict[str, Any]:
    required, share = schema.get("required", ()), rng.choice([0.1, 0.3, 0.8])
    made = {
        name: _value(rng, inner, wrong if depth else 0, depth + 1)
        for name, inner in schema.get("properties", {}).items()
        if name in required or rng.random() < share
    }
    more = schema.get("additionalProperties")
    if isinstance(more, dict):
        pattern = schema.get("propertyNames", {}).get("pattern", "")
        for _ in range(rng.randrange(4)):
            name = rng.choice(_NAMES) if rng.random() < wrong else _text(rng, pattern)
            made[name] = _value(rng, more, wrong, depth + 1)
    elif rng.random() < wrong:
        made[rng.choice(_NAMES)] = rng.choice(_WRONG)
    return made


def _text(rng: random.Random, pattern: str) -> str:
    fitting = [text for text in PLAUSIBLE if not pattern or re.search(pattern, text)]
    return rng.choice(fitting or PLAUSIBLE)


def _places(value: Any) -> list[tuple[Any, Any]]:
    found = []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        found += [(value, key), *_places(inner)]
    return found


# Files -------------------------------------------------------------------------------------------------------


def _dumped(config: dict[str, Any]) -> str:
    """Return YAML in the flow style. JSON is such YAML, and escapes every text."""
    lines = [f"  portcullis:{key}: {json.dumps(value)}" for key, value in config.items()]
    return "config:\n" + "\n".join(lines) + "\n"


def _few_wrong(rng: random.Random) -> str:
    config = smallest()
    for _ in range(rng.randrange(1, 6)):
        holder, key = rng.choice(_places(config))
        holder[key] = rng.choice(_WRONG) if rng.random() < 0.7 else rng.choice(NASTY)
    return _dumped(config)


def _some_wrong(rng: random.Random) -> str:
    return _dumped(_config(rng, 0.02))


def _many_wrong(rng: random.Random) -> str:
    return _dumped(_config(rng, 0.3))


def _right_shape(rng: random.Random) -> str:
    return _dumped(_config(rng, 0.0))


def _names(rng: random.Random) -> str:
    config = _config(rng, 0.01)
    for _ in range(rng.randrange(1, 5)):
        maps = [value for value in [config, *(h[k] for h, k in _places(config))] if isinstance(value, dict)]
        holder = rng.choice(maps)
        value = holder.pop(rng.choice(list(holder))) if holder and rng.random() < 0.7 else rng.choice(_WRONG)
        holder[rng.choice(_NAMES)] = value
    return _dumped(config)


def _deep(rng: random.Random) -> str:
    config = smallest()
    holder, key = rng.choice(_places(config))
    holder[key] = "@"
    depth = rng.choice([30, 300, 900, 3_000, 9_000, 100_000])
    opened, closed = rng.choice([("[", "]"), ('{"a": ', "}")])
    return _dumped(config).replace('"@"', opened * depth + closed * depth, 1)


def _huge(rng: random.Random) -> str:
    config = smallest()
    holder, key = rng.choice(_places(config))
    holder[key] = "@"
    number = rng.choice(
        ["9" * 4000, "9" * 5000, "1e308", "1e400", "-0", "0.1e-400", "0x" + "f" * 400, "0o17", ".5"]
    )
    return _dumped(config).replace('"@"', number, 1)


def _aliases(rng: random.Random) -> str:
    count, width = rng.choice([(3, 2), (9, 9), (30, 9)])
    lines = [f"  other:a0: &a0 {json.dumps(rng.choice(['x', {'a': 1}, ['y'] * 9]))}"]
    lines += [f"  other:a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, count)]
    key = rng.choice(keys())
    last = rng.choice(
        [f"*a{count - 1}", "&self [*self]", "&self {a: *self}", f"{{<<: *a0, b: *a{count - 1}}}", "*nowhere"]
    )
    return "config:\n" + "\n".join(lines) + f"\n  portcullis:{key}: {last}\n"


def _twice(rng: random.Random) -> str:
    text = _dumped(smallest())
    key = rng.choice(["apps", "hosts", "sites"])
    inner = '{"web1": {"os": "debian-12", "os": "debian-13"}}'
    return text + rng.choice([f"  portcullis:{key}: {{}}\n", f"  portcullis:x: {inner}\n", "config: {}\n"])


def _not_yaml(rng: random.Random) -> str:
    text = _dumped(_config(rng, 0.1))
    for _ in range(rng.randrange(1, 8)):
        at = rng.randrange(len(text))
        text = (
            text[:at]
            + rng.choice([*NASTY, "\t", "- ", "&", "*x", "!!python/object:os.system ", "---\n", "%YAML 9\n"])
            + text[at + rng.randrange(4) :]
        )
    return text


def _other_things(rng: random.Random) -> str:
    return rng.choice(
        [
            "",
            "[]",
            "config: []",
            "config: x",
            "config:\n",
            "config: {portcullis:hosts: }",
            "- a\n- b\n",
            "\ufeffconfig: {}\n",
            "config: {portcullis:hosts: !!binary aGVsbG8=}\n",
            "config: {portcullis:hosts: !!set {a, b}}\n",
            "config: {portcullis:apps: {? [a, b] : c}}\n",
            "config: {portcullis:apps: {1: {}, 2.5: {}, true: {}, null: {}}}\n",
            "config: {portcullis:hosts: 2026-11-27}\n",
            "config: {portcullis:hosts: .nan, portcullis:apps: .inf}\n",
            "config: {Portcullis:hosts: {}, portculis:apps: {}, 'portcullis:': {}, portcullis: {}}\n",
            "config: {portcullis:hosts: {web1: !!omap [a: 1]}}\n",
            'config: {"portcullis:h\\u0000": 1, "portcullis:\\e[2J": 2}\n',
            "config:\n  portcullis:hosts:\n    web1: |\n      address: x\n",
            "config: {portcullis:sites: {y: {}, no: {}, on: {}}}\n",
        ]
    )


_WAYS = (
    _few_wrong,
    _some_wrong,
    _many_wrong,
    _names,
    _deep,
    _huge,
    _aliases,
    _twice,
    _not_yaml,
    _other_things,
    _right_shape,
)


# How the engine passes files on ------------------------------------------------------------------------------


class NotTaken(Exception):
    """The engine itself refuses such a stack file."""


class _Strict(yaml.SafeLoader):
    """Reads YAML like the engine, which refuses repeated keys, alias bombs and endless nesting."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = [self.construct_object(key, deep=True) for key, _ in node.value]
        if any(seen.index(key) != at for at, key in enumerate(seen)):
            raise NotTaken("a key stands twice")
        return super().construct_mapping(node, deep)


_MOST = 100_000
_DEEPEST = 10_000


def handed_on(text: str) -> dict[str, str]:
    """Return the settings that a program gets from a file: a text for each key, JSON for a structure.

    Raises:
        NotTaken: the engine refuses the file.
    """
    try:
        found = yaml.load(text, Loader=_Strict)  # noqa: S506 - it is a SafeLoader
    except RecursionError:
        # The engine reads values up to this depth, and passes them on.
        if max(text.count("["), text.count("{")) > _DEEPEST:
            raise NotTaken("exceeded max depth") from None
        return dict(re.findall(r"^  (\w+:\w+): (.*)$", text, re.MULTILINE))
    except (yaml.YAMLError, ValueError, TypeError, AttributeError) as error:
        raise NotTaken(type(error).__name__) from None
    config = found.get("config") if isinstance(found, dict) else None
    if not isinstance(config, dict):
        raise NotTaken("no configuration")
    handed = {}
    for key, value in config.items():
        if not isinstance(key, str) or key.count(":") != 1:
            raise NotTaken("no key of a namespace")
        _count(value, [0], 0)
        try:
            handed[key] = value if isinstance(value, str) else json.dumps(value, default=str)
        except RecursionError:
            raise NotTaken("it is too deep for this stand-in of the engine") from None
        except (ValueError, TypeError):
            raise NotTaken("it contains itself, or JSON cannot hold it") from None
    return handed


def _count(value: Any, so_far: list[int], depth: int) -> None:
    so_far[0] += 1
    if so_far[0] > _MOST:
        raise NotTaken("excessive aliasing")
    if depth < 500:  # json.dumps fails for deeper values
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            _count(inner, so_far, depth + 1)
