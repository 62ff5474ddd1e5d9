"""From an image's tag to its digest, for a container that stands alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portcullis.config.faults import ArgumentsError, SettingsError
from portcullis.registry import parse, resolve

if TYPE_CHECKING:
    from portcullis.components.containers.args import RegistryArgs
    from portcullis.config.forms import TextInput


def pinned(image: TextInput, path: str, login: RegistryArgs | None = None) -> TextInput:
    """Return an image with the digest that its tag stands for now.

    The registry is asked. An image that has a digest, or is an output, stays as it is.

    Args:
        image: name with a tag or a digest.
        path: where it stands, for people: `RedisArgs.image`.
        login: the login at its registry, where it wants one.

    Raises:
        ArgumentsError: the registry does not give the digest.
    """
    if not isinstance(image, str) or "@" in image:
        return image
    logins = {parse(image).registry: login} if login else {}
    try:
        return resolve({path: image}, logins, place="login")[path]
    except SettingsError as error:
        raise ArgumentsError(error.faults) from None
