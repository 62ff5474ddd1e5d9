"""A stack's settings: read, validated as a whole, frozen."""

from portcullis.settings.faults import Fault, SettingsError
from portcullis.settings.load import load
from portcullis.settings.model import (
    AppSettings,
    Bootstrap,
    DockerEngineSettings,
    Endpoint,
    FirewallRule,
    HostSettings,
    Settings,
)
from portcullis.settings.sites import SiteSettings
from portcullis.settings.stack import stack_settings

__all__ = [
    "AppSettings",
    "Bootstrap",
    "DockerEngineSettings",
    "Endpoint",
    "Fault",
    "FirewallRule",
    "HostSettings",
    "Settings",
    "SettingsError",
    "SiteSettings",
    "load",
    "stack_settings",
]
