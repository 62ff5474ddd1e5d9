"""Pure functions for the lines that describe users, in Redis' ACL file and in the answer of ``ACL LIST``.

An ACL file cannot have comments: Redis refuses to start on a line that does not begin with ``user``.
"""

from __future__ import annotations

from portcullis.agent.wire import ABSENT
from portcullis.components.redis.facts import DECLARED, DEFAULT

# `reset` also removes the rights and the password, in case somebody switches the user on again by hand.
DEFAULT_OFF = "user default reset off"

# Every new user has these words. Some versions of Redis print them, others do not.
_DEFAULT_WORDS = frozenset({"sanitize-payload", "resetchannels", "resetkeys"})


def user_line(user: str, digest: str, rules: str) -> str:
    """Return the line of a user whose password has the hash `digest`."""
    return f"user {user} reset on #{digest} {rules}"


def name_of(line: str) -> str:
    """Return the name of the user that a line describes, or "" for any other line."""
    words = line.split()
    return words[1] if len(words) > 1 and words[0].lower() == "user" else ""


def lines(text: str) -> list[str]:
    """Return the lines of a file that are not empty."""
    return [line for line in text.splitlines() if line.strip()]


def with_line(text: str, line: str) -> str:
    """Return the file with this line in place of the user's former line, or with this line added."""
    user, done = name_of(line), False
    kept: list[str] = []
    for old in lines(text):
        if name_of(old) != user:
            kept.append(old)
        elif not done:
            kept.append(line)
            done = True
    if not done:
        # The order means nothing to Redis. People look for `default` first.
        kept.insert(0 if user == DEFAULT else len(kept), line)
    return _joined(kept)


def without(text: str, users: set[str]) -> str:
    """Return the file without the lines of these users. The user "" stands for lines without a user."""
    return _joined([line for line in lines(text) if name_of(line) not in users])


def in_file(text: str, line: str) -> str:
    """Compare the user's line in the file with the declared line.

    Return `DECLARED`, `ABSENT`, or the rules that differ.
    """
    found = [old for old in lines(text) if name_of(old) == name_of(line)]
    if not found:
        return ABSENT
    if [old.split() for old in found] == [line.split()]:
        return DECLARED
    return "; ".join(described(old.split()[2:], _digest(line)) for old in found)


def rules_of(words: list[str]) -> list[str]:
    """Return the rules among a user's words in ``ACL LIST``, without ``on``, ``off`` and passwords."""
    return [word for word in words if word not in _DEFAULT_WORDS | {"on", "off"} and word[:1] != "#"]


def in_server(words: list[str] | None, line: str, rules: list[str] | None) -> str:
    """Compare a user of the running server with the declared line.

    Return `DECLARED`, `ABSENT`, or the rules that differ.

    Args:
        words: the user's words in ``ACL LIST``; None if there is no such user.
        line: the declared line.
        rules: the declared rules as this server spells them; None if the server refuses them.
    """
    if words is None:
        return ABSENT
    digest = _digest(line)
    passwords = [word for word in words if word[:1] == "#" or word == "nopass"]
    if "on" in words and passwords == [f"#{digest}"] and rules_of(words) == rules:
        return DECLARED
    return described(words, digest)


def other_passwords(words: list[str], line: str) -> bool:
    """Return whether the user accepts an undeclared password, or needs no password."""
    return any(word == "nopass" or (word[:1] == "#" and word[1:] != _digest(line)) for word in words)


def described(words: list[str], digest: str) -> str:
    """Return a user's words for people, without hashes."""
    shown = []
    for word in words:
        if word in _DEFAULT_WORDS:
            continue
        if word[:1] in "#><!":
            word = "(the declared password)" if word == f"#{digest}" else "(another password)"  # noqa: PLW2901
        shown.append(word)
    return " ".join(shown) or "nothing"


def _digest(line: str) -> str:
    return next((word[1:] for word in line.split() if word[:1] == "#"), "")


def _joined(kept: list[str]) -> str:
    return "".join(f"{line.rstrip()}\n" for line in kept)
