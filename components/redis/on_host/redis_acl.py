"""Lines of users, as Redis has them in its ACL file and in the answer of ``ACL LIST``; pure.

A file of users knows no comments: Redis refuses to start on a line that does not begin with ``user``.
"""

from __future__ import annotations

from portcullis.agent.wire import ABSENT
from portcullis.components.redis.facts import DECLARED, DEFAULT

# Not just `off`: whoever switches it on again by hand gives nothing away with it.
DEFAULT_OFF = "user default reset off"

# Both mean what a user has without either of them, and versions differ in whether they print it.
_SAID_ANYWAY = frozenset({"sanitize-payload", "resetchannels", "resetkeys"})


def user_line(user: str, digest: str, rules: str) -> str:
    """The line of a user who logs in with the password of that hash."""
    return f"user {user} reset on #{digest} {rules}"


def name_of(line: str) -> str:
    """Whose line it is, or "" where it is no line of a user."""
    words = line.split()
    return words[1] if len(words) > 1 and words[0].lower() == "user" else ""


def lines(text: str) -> list[str]:
    """The lines of a file that say something."""
    return [line for line in text.splitlines() if line.strip()]


def with_line(text: str, line: str) -> str:
    """The file with this line in the place of the user's, and at its end where there was none."""
    user, done = name_of(line), False
    kept: list[str] = []
    for old in lines(text):
        if name_of(old) != user:
            kept.append(old)
        elif not done:
            kept.append(line)
            done = True
    if not done:
        # The order means nothing to Redis; people look for `default` first.
        kept.insert(0 if user == DEFAULT else len(kept), line)
    return _joined(kept)


def without(text: str, users: set[str]) -> str:
    """The file without the lines of these users; "" among them stands for lines that are no user's."""
    return _joined([line for line in lines(text) if name_of(line) not in users])


def in_file(text: str, line: str) -> str:
    """How the user's line in the file stands to the declared one, for people."""
    found = [old for old in lines(text) if name_of(old) == name_of(line)]
    if not found:
        return ABSENT
    if [old.split() for old in found] == [line.split()]:
        return DECLARED
    return "; ".join(described(old.split()[2:], _digest(line)) for old in found)


def rules_of(words: list[str]) -> list[str]:
    """What a user of ``ACL LIST`` may do, without its state and passwords."""
    return [word for word in words if word not in _SAID_ANYWAY | {"on", "off"} and word[:1] != "#"]


def in_server(words: list[str] | None, line: str, rules: list[str] | None) -> str:
    """How a user of the running server stands to the declared one, for people.

    Args:
        words: what ``ACL LIST`` says of it; None where there is no such user.
        line: the declared line.
        rules: the declared rules as this server spells them; None where it does not take them.
    """
    if words is None:
        return ABSENT
    digest = _digest(line)
    passwords = [word for word in words if word[:1] == "#" or word == "nopass"]
    if "on" in words and passwords == [f"#{digest}"] and rules_of(words) == rules:
        return DECLARED
    return described(words, digest)


def other_passwords(words: list[str], line: str) -> bool:
    """Whether somebody may have logged in with something else than the declared password."""
    return any(word == "nopass" or (word[:1] == "#" and word[1:] != _digest(line)) for word in words)


def described(words: list[str], digest: str) -> str:
    """A user's words without hashes."""
    shown = []
    for word in words:
        if word in _SAID_ANYWAY:
            continue
        if word[:1] in "#><!":
            word = "(the declared password)" if word == f"#{digest}" else "(another password)"  # noqa: PLW2901
        shown.append(word)
    return " ".join(shown) or "nothing"


def _digest(line: str) -> str:
    return next((word[1:] for word in line.split() if word[:1] == "#"), "")


def _joined(kept: list[str]) -> str:
    return "".join(f"{line.rstrip()}\n" for line in kept)
