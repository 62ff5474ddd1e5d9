"""The errors with which a stand-in can answer a call."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.plugins.values import Properties


class PluginError(Exception):
    """A failure to show to the user, in the official plugin's words if these are recorded.

    With `names_resource` the text begins with the operation and the resource. The official bridge adds both
    to an error once the resource exists.
    """

    names_resource = False


class ResourceError(PluginError):
    """An error about a resource that exists."""

    names_resource = True


class NotCoveredError(PluginError):
    """A request that only the official plugin can serve."""

    def __init__(self, package: str, what: str) -> None:
        """Make the message from the name of the package and the part that the stand-in does not support."""
        super().__init__(f"{package} plugin: {what}. {official_cure(package)}")


class PartlyCreatedError(ResourceError):
    """The resource exists, but a later step failed. The engine records the resource and shows the reason."""

    def __init__(self, reason: str, id_: str, state: Properties) -> None:
        """Store the id and the state that the engine must record."""
        super().__init__(reason)
        self.reason = reason
        self.id = id_
        self.state = state


def official_cure(package: str) -> str:
    """What to do about something that a stand-in refuses."""
    return f"Install the official plugin: pulumi plugin install resource {package} (docs/plugin-stand-ins.md)"


def one_error(message: str) -> str:
    """Return a message in the form in which Terraform's SDK lists errors.

    Official plugins pass on the messages of Terraform's SDK in this form.
    """
    return f"1 error occurred:\n\t* {message}\n\n"
