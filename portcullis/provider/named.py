"""Prepares a Pulumi program for a run: checks that the project names the plugin, and handles Ctrl-C."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.runtime import settings
from pulumi.runtime.proto import resource_pb2_grpc

from portcullis.project import PLUGIN, plugin_folder, project_file, read_project
from portcullis.provider.base import PACKAGE

if TYPE_CHECKING:
    from collections.abc import Mapping

_REPORTED = 32
"""The exit code after which Pulumi's language host prints no error of its own."""
_MESSAGE = """\
{project} does not name the plugin for the resources of Portcullis; add these lines:

plugins:
  providers:
    - name: portcullis
      path: {folder}
"""


def assert_plugin_is_named() -> None:
    """End the program with one message if Pulumi's engine would not find the plugin.

    A program that runs with Pulumi's mocks (in a unit test) needs no plugin.

    Raises:
        SystemExit: the project does not name the plugin, and the plugin is not installed.
    """
    if isinstance(settings.get_monitor(), resource_pb2_grpc.ResourceMonitorStub):
        _assert_plugin_is_named()


@functools.cache
def _assert_plugin_is_named() -> None:
    end_without_traceback()
    fault = missing(Path.cwd(), os.environ)
    if fault:
        pulumi.log.error(fault)
        sys.exit(_REPORTED)


def end_without_traceback() -> None:
    """Let Ctrl-C end the program at once, unless the program handles it.

    Ctrl-C reaches every process of the terminal. Pulumi's engine reports Ctrl-C, and a traceback of this
    process would hide that report.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: os._exit(_REPORTED))


def missing(folder: Path, environ: Mapping[str, str]) -> str:
    """Return a message if Pulumi's engine will not find the plugin, otherwise "".

    Args:
        folder: the program's working folder. The project file is in this folder or in a folder above it.
        environ: the program's environment.
    """
    project = project_file(folder)
    if project is None:
        return ""  # the engine has its project in another place, which we cannot check
    declared = read_project(project)
    if _names_plugin(declared) or _is_installed(declared, environ):
        return ""
    return _MESSAGE.format(project=project, folder=plugin_folder())


def _names_plugin(project: dict[str, Any]) -> bool:
    providers = (project.get("plugins") or {}).get("providers") or []
    return any(isinstance(named, dict) and named.get("name") == PACKAGE for named in providers)


def _is_installed(project: dict[str, Any], environ: Mapping[str, str]) -> bool:
    home = Path(environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
    if any((home / "plugins").glob(f"resource-{PACKAGE}-v*")):
        return True
    path = environ.get("PATH", "").split(os.pathsep)
    if _is_activated_by_engine(project) and path and Path(path[0]) == Path(sys.prefix) / "bin":
        # The engine added this folder for the program. The engine does not search this folder for plugins.
        path = path[1:]
    return shutil.which(PLUGIN, path=os.pathsep.join(path)) is not None


def _is_activated_by_engine(project: dict[str, Any]) -> bool:
    runtime = project.get("runtime")
    options = (runtime.get("options") if isinstance(runtime, dict) else None) or {}
    return bool(options.get("virtualenv")) or options.get("toolchain") in ("poetry", "uv")
