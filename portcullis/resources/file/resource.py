"""A file on a host, with its content in code."""

from __future__ import annotations

import re
import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from portcullis.host.provider import ABSENT, HostProvider, Normaliser, is_known, mode_text
from portcullis.host.resource import HostResource, is_secret
from portcullis.provider.changes import Line, Section, Severity, difference, with_rest
from portcullis.resources.file.facts import MAX_CONTENT, FileDesired, FileFacts

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pulumi

    from portcullis.host.host import Host
    from portcullis.provider.base import Props, ReadResult
    from portcullis.provider.changes import Change

# What facts say in place of a content that cannot be shown: the agent's words, and `ABSENT`.
_PLACEHOLDER = re.compile(
    r"<(?:absent|changed on the host, and not shown to the preview key"
    r"|\d+ bytes, too large to show|\d+ bytes that are not UTF-8 text"
    r"|(?:a )?symbolic link to [^\n]*|an? [a-z ]+)>"
)

_SECTIONS = {
    "/etc/ssh/": Section.ACCESS,
    "/etc/sudoers": Section.ACCESS,
    "/etc/pam.d/": Section.ACCESS,
    "/etc/fail2ban/": Section.FIREWALL,
    "/etc/nginx/": Section.SITES,
    "/etc/docker/": Section.SITES,
}
"""What a report sorts a file under, by how its path begins."""


def _section(path: str) -> Section:
    return next((found for start, found in _SECTIONS.items() if path.startswith(start)), Section.REST)


def _is_open(mode: str) -> bool:
    """Whether everybody may write."""
    return mode.isdigit() and bool(int(mode, 8) & stat.S_IWOTH)


class FileProvider(HostProvider):
    """Provider of `File`."""

    kind = "file"
    desired_type = FileDesired
    facts_type = FileFacts
    live = ("content", "owner", "group", "mode")
    identity = ("host", "path")

    def normalise(self, inputs: Normaliser) -> None:
        """Check content, path, mode and commands."""
        inputs.path("path")
        inputs.mode("mode")
        inputs.text("owner")
        inputs.text("group")
        inputs.one_of("on_delete", "restore", "remove", "keep")
        inputs.argv("validate")
        inputs.argv("test")
        content = inputs.news.get("content")
        inputs.inputs["content"] = content
        if is_known(content):
            if not isinstance(content, str):
                inputs.fail("content", "must be a text")
            elif len(content.encode()) > MAX_CONTENT:
                inputs.fail(
                    "content",
                    f"has {len(content.encode())} bytes; a File carries {MAX_CONTENT}, a Tree any number",
                )
            elif _PLACEHOLDER.fullmatch(content):
                # ignore_changes feeds what was read back in: it must never be written as a file's content.
                inputs.fail("content", f"{content!r} stands for what was found on the host")
            elif "\0" in content:
                inputs.fail("content", "has a NUL byte; a File carries text")
        validate = inputs.inputs.get("validate")
        if validate and is_known(validate) and not any("{path}" in word for word in validate):
            inputs.fail("validate", "must name the file to check as {path}")
        # A plugin gets plain values, and so cannot see by itself what must not be quoted in an error.
        if inputs.news.get("secret") is True:
            inputs.keep("secret")

    def importable(self, item: str) -> Props | None:
        """Return the file at this path."""
        return {"path": item, "content": "", "on_delete": "restore"}

    def import_(self, id_: str, urn: str) -> ReadResult | None:
        """Read a file on a host. A content that not every user of the host may read is a secret."""
        found = super().import_(id_, urn)
        if found is None or int(found.inputs["mode"], 8) & stat.S_IROTH:
            return found
        mark = {"secret": True}
        return replace(found, outs=found.outs | mark, inputs=found.inputs | mark, secrets=("content",))

    def absent_inputs(self) -> Props:
        """Return a file that is not there."""
        # Both: the content of a secret file does not show.
        return {"content": ABSENT, "mode": ABSENT}

    def lines(self, change: Change) -> list[Line]:
        """Sort a file by its place: who owns /etc/sudoers.d is another question than who owns /etc/motd."""
        section = Section.DATA if change.props.get("secret") else _section(str(change.props.get("path", "")))
        return [replace(line, section=section) for line in super().lines(change)]

    def differing(self, change: Change, subject: str) -> list[Line]:
        """Say whether the text differs, or who may read and write it."""
        found = []
        if change.changes("content"):
            said = str(change.live.get("content", ""))
            what = said.strip("<>") if _PLACEHOLDER.fullmatch(said) else "text differs"
            severity = Severity.WRONG if change.by_hand(("content",)) else Severity.COSMETIC
            found.append(Line(subject, what, "", severity, at=("content",)))
        for name in ("mode", "owner", "group"):
            if change.changes(name):
                opened = bool(change.live.get("secret")) or _is_open(str(change.live.get("mode", "")))
                severity = Severity.OPEN if opened and change.by_hand((name,)) else Severity.COSMETIC
                found.append(Line(subject, difference(change, name), "", severity, at=(name,)))
        return with_rest(change, subject, found)


class File(HostResource):
    """A text file.

    It is written beside its place with its final owner and mode, then renamed over it. What stood
    there before stays on the host and comes back on delete, unless `on_delete` says otherwise.

    Attributes:
        path: absolute path on the host.
        content: the text; up to `MAX_CONTENT` bytes of UTF-8.
    """

    path: pulumi.Output[str]
    content: pulumi.Output[str]
    owner: pulumi.Output[str]
    group: pulumi.Output[str]
    mode: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        host: Host | str,
        path: str,
        content: pulumi.Input[str],
        owner: str = "root",
        group: str = "root",
        mode: str = "0644",
        validate: Sequence[str] | None = None,
        test: Sequence[str] | None = None,
        on_delete: Literal["restore", "remove", "keep"] = "restore",
        adopt: bool | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the file.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            path: absolute path.
            content: the text; may be a secret, which stays one in state and in errors.
            owner: user name.
            group: group name.
            mode: permission bits in octal, such as "0640".
            validate: command that checks the new file before it is put in place; `{path}` stands for it.
            test: command that checks the whole that the file is a part of, after it is in place, such as
                `["nginx", "-t"]`; when it fails, the old bytes are restored.
            on_delete: put back what stood there before us, remove the file, or keep it.
            adopt: take over a file that stands there and differs.
            opts: resource options.
        """
        self.path_text = path
        super().__init__(
            FileProvider,
            name,
            host=host,
            adopt=adopt,
            inputs={
                "path": path,
                "content": content,
                "owner": owner,
                "group": group,
                "mode": mode_text(mode),
                "validate": list(validate) if validate else None,
                "test": list(test) if test else None,
                "on_delete": on_delete,
                "secret": is_secret(content),
            },
            opts=opts,
        )
