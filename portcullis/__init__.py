"""A hardened Docker host as Pulumi resources. A preview shows each difference between code and host."""

__version__ = "0.1.0"
