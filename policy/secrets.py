"""Policies for secrets: no secret is where everybody with access to Docker or to `ps` can read it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from portcullis.components.containers.facts import SECRET_ENV_LABEL
from portcullis.policy.model import Policy, Resource

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = re.compile(
    r"(?:^|[_.-])"
    r"(?:pass|passwd|password|passphrase|pwd|secrets?|token|credentials?|redis(?:cli)?_auth"
    r"|(?:api|access|private|encryption|signing|master|session)_?key)"
    r"(?:$|[_.-])",
    re.IGNORECASE,
)
_CAPITALS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# Names that match, although their value is no secret: the path, lifetime or id of a secret, and a label of
# our own containers. Vault's secret_id is a secret, though.
_ABOUT = re.compile(
    r"[_.-](?:file|path|dir|ttl|expiry|expires|lifetime|length|rounds|name|url|policy"
    r"|issuer|audience|algorithm|header|type)$"
    r"|(?<!secret)[_.-]id$|^portcullis\.(?:refresh\.secrets|secret-env)$",
    re.IGNORECASE,
)
_PATH = re.compile(r"(?:/[\w.@-]+)+/?")
# A short number is a count or a limit, not a secret.
_COUNT = re.compile(r"[0-9]{1,4}")
_HARMLESS = ("", "true", "false", "yes", "no", "none", "required", "optional")
_VALUES = {
    "a URL with a password": re.compile(r"[a-z][a-z0-9+.-]*://[^/\s:@$]*:[^/\s@$]+@", re.IGNORECASE),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "a token": re.compile(
        r"\b(?:gh[pousr]_\w{30,}|github_pat_\w{30,}|glpat-[\w-]{20,}|sk_(?:live|test)_\w{16,}"
        r"|AKIA[0-9A-Z]{16}|xox[abprs]-[\w-]{10,}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,})"
    ),
}
_OPTION = re.compile(
    r"--?(?:requirepass|masterauth|pass|password|passwd|passphrase|token|secret|api-?key)\b"
    r"(?:[= ](?P<value>\S+))?",
    re.IGNORECASE,
)
_COMMANDS = ("command:local:Command", "command:remote:Command")


def _plain_sight(resource: Resource) -> Iterator[str]:
    if resource.is_container():
        for text in resource.texts("envs"):
            name, _, value = text.partition("=")
            if name not in _declared(resource):
                yield from _named("environment variable", name, value)
        for label in resource.items("labels"):
            yield from _named("label", str(label.get("label")), label.get("value"))
        health = resource.props.get("healthcheck")
        words = health.get("tests") if isinstance(health, dict) else None
        for where, line in (
            ("command", resource.texts("command")),
            ("entrypoint", resource.texts("entrypoints")),
            ("health check", [w for w in words if isinstance(w, str)] if isinstance(words, list) else []),
        ):
            yield from _in_words(where, line)
    if resource.type in _COMMANDS:
        for key in ("create", "update", "delete"):
            yield from _in_words(key, [resource.text(key)])
        environment = resource.props.get("environment")
        for name, value in environment.items() if isinstance(environment, dict) else ():
            yield from _named("environment variable", name, value)


def _declared(resource: Resource) -> list[str]:
    """Return the variables that Portcullis gave a container because `secretEnv` names them."""
    if "portcullis:index:PrivateContainer$" not in resource.urn:
        return []
    said = [one.get("value") for one in resource.items("labels") if one.get("label") == SECRET_ENV_LABEL]
    return [name for names in said if isinstance(names, str) for name in names.split()]


def _in_environment(resource: Resource) -> Iterator[str]:
    # A job has the same variables as its app.
    is_job = resource.props.get("mustRun") is False
    if resource.is_container() and not is_job and (names := _declared(resource)):
        yield f"gets secrets in its environment: {', '.join(names)}"


def _named(where: str, name: str, value: Any) -> Iterator[str]:
    if not isinstance(value, str):
        return
    spelled = _CAPITALS.sub("_", name)
    if (
        _NAME.search(spelled)
        and not _ABOUT.search(spelled)
        and value.lower() not in _HARMLESS
        and not _PATH.fullmatch(value)
        and not _COUNT.fullmatch(value)
    ):
        yield f"has a secret in the {where} {name}"
        return
    yield from (f"has {what} in the {where} {name}" for what, form in _VALUES.items() if form.search(value))


def _in_words(where: str, words: list[str]) -> Iterator[str]:
    line = " ".join(words)
    yield from (f"has {what} in its {where}" for what, form in _VALUES.items() if form.search(line))
    for option in _OPTION.finditer(line):
        value = option["value"] or ""
        # A shell variable or a path is not the secret itself.
        if value and not value.startswith(("$", '"$', "'$", "<", "-", "/")):
            yield f"has a secret in its {where}, after {option[0].split('=')[0].split()[0]}"


POLICIES = (
    Policy(
        "no-secret-in-plain-sight",
        "No secret is in a container's command, environment or labels, or in a command line.",
        "`docker inspect` and `ps` show such a secret. Crash reports and child processes contain it, too.",
        "Put the secret under portcullis:secrets. Name it in the app's `secrets`. The secret becomes a "
        "file in /run/secrets that only this container can read.",
        _plain_sight,
    ),
    Policy(
        "secret-in-environment",
        "An app reads its secrets from files, not from its environment.",
        "Child processes, crash reports, debug pages and `docker inspect` show the environment.",
        "Remove the variable from secretEnv, and let the app read the file in /run/secrets. Many images take "
        "the path of the file in a variable that ends in _FILE.",
        _in_environment,
        severity="warn",
    ),
)
