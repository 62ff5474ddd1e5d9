"""What a program under a real engine needs first: the plugin by name, and an end without a traceback."""

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

_TOLD = 32
"""The exit code that tells Pulumi's language host that the error has been shown."""
_MESSAGE = """\
{project} does not name the plugin that serves Portcullis' resources; write there:

plugins:
  providers:
    - name: portcullis
      path: {folder}
"""


def assert_plugin_is_named() -> None:
    """End the program with one message where the engine would not find the plugin. Mocks need none.

    Raises:
        SystemExit: the project does not name the plugin, and it is not installed.
    """
    if isinstance(settings.get_monitor(), resource_pb2_grpc.ResourceMonitorStub):
        _assert_plugin_is_named()


@functools.cache
def _assert_plugin_is_named() -> None:
    end_without_traceback()
    fault = missing(Path.cwd(), os.environ)
    if fault:
        pulumi.log.error(fault)
        sys.exit(_TOLD)


def end_without_traceback() -> None:
    """Let Ctrl-C end the program at once, unless it handles that itself.

    It reaches every process of the terminal. The engine reports it; a traceback from here would hide that.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: os._exit(_TOLD))


def missing(folder: Path, environ: Mapping[str, str]) -> str:
    """Return what to tell people where the engine will not find the plugin, "" where it will.

    Args:
        folder: the program's working folder; the project is there or above.
        environ: the program's environment.
    """
    project = project_file(folder)
    if project is None:
        return ""  # the engine knows of a project that we do not see
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
        # The engine put the environment there for this program, and does not look into it itself.
        path = path[1:]
    return shutil.which(PLUGIN, path=os.pathsep.join(path)) is not None


def _is_activated_by_engine(project: dict[str, Any]) -> bool:
    runtime = project.get("runtime")
    options = (runtime.get("options") if isinstance(runtime, dict) else None) or {}
    return bool(options.get("virtualenv")) or options.get("toolchain") in ("poetry", "uv")
