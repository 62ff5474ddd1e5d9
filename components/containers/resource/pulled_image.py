"""An image on a host, from a registry that requires a login."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portcullis.components.containers.facts import IMAGE, PulledImageDesired, PulledImageFacts
from portcullis.host.provider import ABSENT, HostProvider, Normaliser, is_known
from portcullis.host.resource import HostResource
from portcullis.provider.base import DiffResult
from portcullis.provider.changes import Section

if TYPE_CHECKING:
    import pulumi

    from portcullis.host.host import Host
    from portcullis.provider.base import Props
    from portcullis.provider.changes import Change

_PULLED = "pulled"


class PulledImageProvider(HostProvider):
    """Provider of `PulledImage`."""

    kind = "containers.pulled_images"
    section = Section.SITES
    desired_type = PulledImageDesired
    facts_type = PulledImageFacts
    identity = ("host", "image")
    secrets = ("password",)
    instead_of_import = "declare the resource instead; the host does not pull an image that it already has"

    def normalise(self, inputs: Normaliser) -> None:
        """Check that the image has a digest and that the login is complete."""
        image = inputs.text("image")
        if image is not None and not IMAGE.match(image):
            inputs.fail("image", f"{image!r} is not an image with a digest, NAME@sha256:…")
        inputs.one_of("pulled", _PULLED, ABSENT)
        for name in ("username", "password"):
            value = inputs.news.get(name)
            if is_known(value) and not (isinstance(value, str) and value):
                inputs.fail(name, "must be a text that is not empty")
            inputs.inputs[name] = value

    def diff(self, id_: str, olds: Props, news: Props) -> DiffResult:
        """Replace the resource if the image changes.

        The new image is pulled first, and a delete leaves the old image.
        """
        found = super().diff(id_, olds, news)
        return DiffResult(replaces=found.replaces)

    def live_inputs(self, facts: PulledImageFacts) -> Props:
        """Return the value of `pulled` for an image that the host has."""
        return {"pulled": _PULLED}

    def absent_inputs(self) -> Props:
        """Return the value of `pulled` for an image that the host does not have."""
        return {"pulled": ABSENT}

    def subject(self, change: Change) -> str:
        """Return the name of the image, without its digest."""
        return f"image {str(change.props.get('image', change.name)).partition('@')[0]}"


class PulledImage(HostResource):
    """An image that Docker on the host has pulled with a login.

    pulumi-docker's own logins (`registry_auth` of its provider) are clear text in the state
    (https://github.com/pulumi/pulumi-docker/issues/643). With `PulledImage`, the password is a secret in the
    state. The password goes to the agent on the host through the SSH session's standard input, and from the
    agent to Docker's socket. No file, command line or environment contains the password. A `RemoteImage` that
    depends on this resource finds the image and pulls nothing. A delete of the resource leaves the image on
    the host, where the component `Upkeep` deletes it like all unused images.

    Attributes:
        image: name and digest of the image.
        pulled: the value is always "pulled". A refresh shows drift if the image is gone.
    """

    image: pulumi.Output[str]
    pulled: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        host: Host | str,
        image: pulumi.Input[str],
        username: str,
        password: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare an image that Docker pulls with a login.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            image: the image in the form `NAME@sha256:…` or `NAME:TAG@sha256:…`.
            username: the user at the registry.
            password: the password or token, which is always a secret. The password is used only if the host
                lacks the image.
            opts: resource options. Add the Docker engine to its `depends_on`.
        """
        super().__init__(
            PulledImageProvider,
            name,
            host=host,
            adopt=False,
            inputs={
                "image": image,
                "username": username,
                "password": password,
                "pulled": _PULLED,
            },
            outputs=(),
            opts=opts,
        )
