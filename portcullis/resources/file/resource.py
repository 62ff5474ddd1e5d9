"""A file on a host, with its content in code."""

from __future__ import annotations

import re
import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from portcullis.host.provider import ABSENT, HostProvider, Normaliser, is_known, mode_text
from portcullis.host.resource import HostResource, is_secret
from portcullis.provider.changes import (
    PORTS_OF_APPS,
    UNKNOWN,
    Line,
    Section,
    Severity,
    difference,
    with_rest,
)
from portcullis.resources.file.facts import MAX_CONTENT, FileDesired, FileFacts

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pulumi

    from portcullis.host.host import Host
    from portcullis.provider.base import Props, ReadResult
    from portcullis.provider.changes import Change

# The texts in facts that replace a content that cannot be shown: the agent's texts, and `ABSENT`.
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
"""For the first part of a file's path, the section of a report that shows the file."""


def _section(path: str) -> Section:
    return next((found for start, found in _SECTIONS.items() if path.startswith(start)), Section.REST)


def _is_open(mode: str) -> bool:
    """Return whether every user may write the file."""
    return bool(re.fullmatch("[0-7]+", mode)) and bool(int(mode, 8) & stat.S_IWOTH)


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
                    f"has {len(content.encode())} bytes; a File holds {MAX_CONTENT}, a Tree any number",
                )
            elif _PLACEHOLDER.fullmatch(content):
                # With ignore_changes, the input is the value that was read from the host. This text must
                # never be written.
                inputs.fail("content", f"{content!r} is only a description of the host's file")
            elif "\0" in content:
                inputs.fail("content", "has a NUL byte; a File holds text")
        validate = inputs.inputs.get("validate")
        if validate and is_known(validate) and not any("{path}" in word for word in validate):
            inputs.fail("validate", "must name the file to check as {path}")
        # A plugin gets plain values. This mark tells the plugin which content no error may quote.
        if inputs.news.get("secret") is True:
            inputs.keep("secret")

    def importable(self, item: str) -> Props | None:
        """Return the path of the imported file, and the defaults of inputs that the host does not know."""
        return {"path": item, "content": "", "on_delete": "restore"}

    def import_(self, id_: str, urn: str) -> ReadResult | None:
        """Read a file on a host. The file's content is a secret unless every user of the host may read it."""
        found = super().import_(id_, urn)
        if found is None or int(found.inputs["mode"], 8) & stat.S_IROTH:
            return found
        mark = {"secret": True}
        return replace(found, outs=found.outs | mark, inputs=found.inputs | mark, secrets=("content",))

    def absent_inputs(self) -> Props:
        """Return the inputs that show a missing file."""
        # Both inputs say that, because the content of a secret file is not shown.
        return {"content": ABSENT, "mode": ABSENT}

    def lines(self, change: Change) -> list[Line]:
        """Choose the report's section by the path: /etc/sudoers.d is in the section about access."""
        section = Section.DATA if change.props.get("secret") else _section(str(change.props.get("path", "")))
        return [replace(line, section=section) for line in super().lines(change)]

    def differing(self, change: Change, subject: str) -> list[Line]:
        """Return a line if the text differs, and a line for each difference of owner, group and mode."""
        found = []
        if change.changes("content"):
            said = str(change.live.get("content", ""))
            what = said.strip("<>") if _PLACEHOLDER.fullmatch(said) else "text differs"
            severity = Severity.WRONG if change.by_hand(("content",)) else Severity.COSMETIC
            line = Line(subject, what, "", severity, at=("content",))
            # A preview does not know the next port of an app, so it does not know the text of a site.
            if change.goal.get("content") == UNKNOWN and subject.startswith("/etc/nginx/"):
                line = replace(line, topic=PORTS_OF_APPS, echo=True)
            found.append(line)
        for name in ("mode", "owner", "group"):
            if change.changes(name):
                opened = bool(change.live.get("secret")) or _is_open(str(change.live.get("mode", "")))
                severity = Severity.OPEN if opened and change.by_hand((name,)) else Severity.COSMETIC
                found.append(Line(subject, difference(change, name), "", severity, at=(name,)))
        return with_rest(change, subject, found)


class File(HostResource):
    """A text file on a host.

    The new file is written beside its path with its final owner and mode, and then renamed. The original
    file stays on the host. A delete restores the original file, unless `on_delete` says otherwise.

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
            content: the text; a secret stays a secret in state and in errors.
            owner: user name.
            group: group name.
            mode: permission bits in octal, such as "0640".
            validate: command that checks the new file before it replaces the old one; in the command,
                `{path}` stands for the new file.
            test: command that checks the whole configuration with the new file in place, such as
                `["nginx", "-t"]`. If the command fails, the old file is restored.
            on_delete: restore the original file, remove the file, or keep it.
            adopt: take over a file that exists and differs.
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
