"""A hardened Docker host as Pulumi resources: every difference between code and host shows in a preview."""

__version__ = "0.1.0"
