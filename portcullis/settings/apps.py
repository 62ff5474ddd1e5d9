"""The keys of an app, a container of one's own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from portcullis.settings import forms
from portcullis.settings.kinds import Field, ListOf, MapOf, Section
from portcullis.settings.model import AppSettings, JobsSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.settings.faults import Place


def _app(raw: Mapping[str, Any], at: Place) -> None:
    written = {key for key, value in raw.items() if value is not None}
    if {"health", "healthCommand"} <= written:
        at.key("healthCommand").report("is a second health check beside health", "keep one of the two")
    if not {"health", "healthCommand"} & written:
        at.key("health").report(
            "is missing",
            "write the path that answers 2xx when the app is well, or healthCommand: [program, argument, …]",
        )
    for key in ("health", "hostPort"):
        if key in written and "port" not in written:
            at.key(key).report("needs the port that the app listens on", "add port")
    user = str(raw.get("user", "65534:65534"))
    if {"uses", "secrets"} & written and not re.fullmatch(r"[0-9]+(?::[0-9]+)?", user):
        at.key("user").refuse(
            raw["user"],
            "is a name, which the host cannot know, and its secrets are files of that user",
            "write the number: `docker run --rm --entrypoint id IMAGE` prints it",
        )


JOBS = Section(
    "jobs",
    JobsSettings,
    (
        Field(
            "before",
            ListOf(forms.COMMAND_LINE),
            "commands to run once for each release, before it starts, such as migrations: "
            "`[node migrate.js]`; one that fails stops the release, and the old one goes on serving",
            (),
        ),
        Field("after", ListOf(forms.COMMAND_LINE), "commands to run once it is well", ()),
    ),
)

APP = Section(
    "an app",
    AppSettings,
    (
        Field(
            "image",
            forms.IMAGE_BY_TAG,
            "the image, by digest: `ghcr.io/acme/api@sha256:…`, or by tag: each preview asks the registry "
            "what the tag stands for, and shows it where that changed",
        ),
        Field("host", forms.ALIAS, "the host that runs it; may be left out where there is only one", ""),
        Field("port", forms.PORT, "the port that it listens on inside the container", None),
        Field(
            "hostPort",
            forms.PORT,
            "a fixed port on docker0's address that leads to it, and a short gap at each release; without it "
            "an app with a site gets a port of the host's choice, and is replaced without a gap",
            None,
        ),
        Field(
            "health",
            forms.URL_PATH,
            "the path that answers 2xx when it is well, asked inside the container",
            None,
        ),
        Field("healthCommand", ListOf(forms.ARGUMENT), "or a command that exits 0 when it is well", None),
        Field(
            "env",
            MapOf(forms.ENV_NAME, forms.ARGUMENT),
            "environment variables; no secrets, `docker inspect` shows them",
            {},
        ),
        Field(
            "uses",
            ListOf(forms.STORE_USE),
            "the stores it uses, `[redis, mongo.shop]`: it joins their networks and finds how to log in "
            "under /run/secrets",
            (),
        ),
        Field(
            "secrets",
            ListOf(forms.SECRET_NAME),
            "names of portcullis:secrets that it gets, each as a file of that name in /run/secrets",
            (),
        ),
        Field(
            "volumes",
            MapOf(forms.VOLUME, forms.INSIDE),
            "volumes by name and where they are mounted; they stay when app or stack go: `{uploads: /data}`",
            {},
        ),
        Field("jobs", JOBS, "what runs once for each release", JOBS.empty()),
        Field("command", ListOf(forms.ARGUMENT), "what to run instead of the image's command", None),
        Field("user", forms.CONTAINER_USER, "the user inside, by name or number; never root", "65534:65534"),
        Field("memory", forms.MEMORY, "memory limit in MB; swap is not added to it", 256),
        Field("cpus", forms.CPUS, "how many CPUs it may use", "1"),
        Field("pids", forms.PIDS, "how many processes it may have", 256),
        Field(
            "stopGrace",
            forms.STOP_GRACE,
            "seconds it has to finish what it is doing when it is stopped",
            10,
        ),
        Field(
            "egress",
            ListOf(forms.DESTINATION),
            'the only destinations outside that it may reach: `[203.0.113.7:443/tcp, "*:53/udp"]`; '
            "an empty list is none, without the key everything is reached",
            None,
        ),
    ),
    _app,
)

APPS = MapOf(forms.APP_NAME, APP)
