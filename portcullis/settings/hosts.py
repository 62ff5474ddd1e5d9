"""The keys of a host: each with its kind, its meaning and its default.

Sections like these are the one declaration of the settings. The program reads with them, and
docs/settings.schema.json and the tables in docs/configuration.md are written from them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from portcullis.components.previews import render as preview
from portcullis.settings import forms, hardening
from portcullis.settings.kinds import Field, Flag, MapOf, Section
from portcullis.settings.model import Bootstrap, Endpoint, HostSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.settings.faults import Place


def _pinned(raw: Mapping[str, Any], at: Place) -> None:
    pinned, trusting = raw.get("hostKey") is not None, raw.get("trustHostKey") is True
    if not pinned and not trusting:
        at.key("hostKey").report(
            "is missing",
            "write the host's public key (`ssh-keyscan -t ed25519 ADDRESS`, compared with your "
            "provider's console), or trustHostKey: true to accept whatever answers the first time",
        )
    if pinned and trusting:
        at.key("trustHostKey").report(
            "contradicts hostKey", "a pinned key is all it takes: drop trustHostKey"
        )


def _host(raw: Mapping[str, Any], at: Place) -> None:
    _pinned(raw, at)
    hardening.reached(raw, at)
    user, users = raw.get("user", "root"), raw.get("users")
    ssh = raw.get("ssh")
    if user == preview.ACCOUNT or (isinstance(users, dict) and preview.ACCOUNT in users):
        at.key("users").report(
            f"names {preview.ACCOUNT}, which is the preview key's own account", "write preview: {} instead"
        )
    if user == "root" and isinstance(ssh, dict) and ssh.get("rootLogin") in ("no", False):
        at.key("ssh").key("rootLogin").refuse(
            "no", "keeps out the user that logs in", "name another user, with keys and sudo, under users"
        )
    mine = users.get(user) if isinstance(users, dict) else None
    if mine is None and user != "root" and re.fullmatch(forms.LOGIN.pattern, str(user)):
        # Its keys and its place in the group docker are the host's state like anybody's.
        at.key("users").report(
            f"declares no {user}, who logs in",
            f"write {user}: {{keys: {{laptop: ssh-ed25519 AAAA…}}, sudo: true}}",
        )
    root = users.get("root") if isinstance(users, dict) else None
    if isinstance(root, dict) and root.get("sudo") is True:
        at.key("users").key("root").key("sudo").report(
            "says nothing of root, who is it already", "leave it out"
        )
    if isinstance(mine, dict):
        place = at.key("users").key(str(user))
        if not mine.get("keys"):
            place.key("keys").report("names no key, and this user logs in", "name the one you log in with")
        if user != "root" and mine.get("sudo") is not True:
            place.key("sudo").report("is missing, and this user logs in to work as root", "write sudo: true")


_ENDPOINT = (
    Field("address", forms.ADDRESS, "IPv4 or IPv6 address, or a host name"),
    Field("user", forms.LOGIN, "who logs in; root, or a user with sudo that asks no password", "root"),
    Field("port", forms.PORT, "the port of its SSH server", 22),
    Field(
        "hostKey",
        forms.HOST_KEY,
        "its public host key, pinned: `ssh-ed25519 AAAA…`; required without trustHostKey",
        None,
    ),
    Field(
        "trustHostKey",
        Flag(),
        "accept whatever key answers first; asked for here, never assumed",
        default=False,
    ),
    Field(
        "identityFile",
        forms.FILE,
        "the private key to log in with; without it ssh's own keys and the agent serve",
        None,
    ),
)

JUMP = Section("a jump host", Endpoint, _ENDPOINT, _pinned)

BOOTSTRAP = Section(
    "a first login",
    Bootstrap,
    (
        Field("user", forms.LOGIN, "the user that the bare host offers", "root"),
        Field("port", forms.PORT, "the port that its SSH server starts with", 22),
    ),
)

HOST = Section(
    "a host",
    HostSettings,
    (
        _ENDPOINT[0],
        Field("os", forms.OS, "its operating system: debian-12, debian-13, ubuntu-22.04 or ubuntu-24.04"),
        *_ENDPOINT[1:],
        Field(
            "addressV6",
            forms.ADDRESS_V6,
            "its IPv6 address, where `address` is an IPv4 one: `make scan` asks it, too",
            None,
        ),
        Field("jump", JUMP, "the host that the connection goes through", None),
        Field(
            "bootstrap", BOOTSTRAP, "the login to use once, while the declared one does not exist yet", None
        ),
        Field(
            "adopt",
            Flag(),
            "let the first run replace files and services that it finds different from what is declared; "
            "without it the run stops and shows them",
            default=False,
        ),
        Field(
            "probe",
            Flag(),
            "at the end of `up`, ask all its ports from the machine that deploys, and fail if one is open "
            "that is not declared, or closed that is; for machines that reach its public addresses",
            default=False,
        ),
        *hardening.FIELDS,
    ),
    _host,
)

HOSTS = MapOf(forms.ALIAS, HOST)
