"""A hardened Docker host, declared and diffed in code: host state as Pulumi resources, and what uses it."""

__version__ = "0.1.0"
