"""What a stand-in can answer instead of a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.plugins.values import Properties


class PluginError(Exception):
    """A failure to show to the user, in the official plugin's words where those are recorded.

    `names_resource` puts what was being done and the resource before it, as the official bridge does once a
    resource exists.
    """

    names_resource = False


class ResourceError(PluginError):
    """A failure at a resource that exists."""

    names_resource = True


class NotCoveredError(PluginError):
    """Something that only the official plugin does."""

    def __init__(self, package: str, what: str) -> None:
        """Name the package and what was asked of it."""
        super().__init__(
            f"the stand-in for the {package} plugin does not cover {what}. {official_cure(package)}"
        )


class PartlyCreatedError(ResourceError):
    """The resource exists but a later step failed; the engine records it as it is and shows the reason."""

    def __init__(self, reason: str, id_: str, state: Properties) -> None:
        """Carry what the engine has to record."""
        super().__init__(reason)
        self.reason = reason
        self.id = id_
        self.state = state


def official_cure(package: str) -> str:
    """What to do about something that a stand-in refuses."""
    return f"Install the official plugin: pulumi plugin install resource {package} (docs/plugin-stand-ins.md)"


def one_error(message: str) -> str:
    """A message as Terraform's SDK lists errors, which the official plugins pass on."""
    return f"1 error occurred:\n\t* {message}\n\n"
