"""The gRPC classes that the pulumi package ships, without importing the whole SDK.

`import pulumi` takes longer than everything else at the start of a plugin, and every preview starts three
plugins. The generated modules below `pulumi.runtime.proto` import only each other. So empty packages replace
the parents of these modules.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pulumi.runtime.proto import (
        engine_pb2,
        engine_pb2_grpc,
        errors_pb2,
        plugin_pb2,
        provider_pb2,
        provider_pb2_grpc,
    )
else:

    def _load(*names: str) -> list[ModuleType]:
        if "pulumi" not in sys.modules:
            spec = find_spec("pulumi")
            if spec is None or not spec.submodule_search_locations:
                message = "the stand-ins need the pulumi package: install requirements-dev.txt"
                raise ImportError(message)
            root = Path(next(iter(spec.submodule_search_locations)))
            for name, folder in (("pulumi", root), ("pulumi.runtime", root / "runtime")):
                package = ModuleType(name)
                package.__path__ = [str(folder)]
                sys.modules[name] = package
        return [importlib.import_module(f"pulumi.runtime.proto.{name}") for name in names]

    engine_pb2, engine_pb2_grpc, errors_pb2, plugin_pb2, provider_pb2, provider_pb2_grpc = _load(
        "engine_pb2", "engine_pb2_grpc", "errors_pb2", "plugin_pb2", "provider_pb2", "provider_pb2_grpc"
    )

__all__ = ["engine_pb2", "engine_pb2_grpc", "errors_pb2", "plugin_pb2", "provider_pb2", "provider_pb2_grpc"]
