"""Find the digest of an image's tag, for a component that is used without the settings file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portcullis.config.faults import ArgumentsError, SettingsError
from portcullis.registry import parse, resolve

if TYPE_CHECKING:
    from portcullis.components.containers.args import RegistryArgs
    from portcullis.config.forms import TextInput


def pinned(image: TextInput, path: str, login: RegistryArgs | None = None) -> TextInput:
    """Return an image with the digest that its tag has now.

    The registry is asked, unless the image has a digest or is a Pulumi output.

    Args:
        image: name with a tag or a digest.
        path: the path of the argument, for messages, such as `RedisArgs.image`.
        login: the login at the image's registry, if the registry needs a login.

    Raises:
        ArgumentsError: the registry has no digest for the tag, or does not answer.
    """
    if not isinstance(image, str) or "@" in image:
        return image
    logins = {parse(image).registry: login} if login else {}
    try:
        return resolve({path: image}, logins, place="login")[path]
    except SettingsError as error:
        raise ArgumentsError(error.faults) from None
