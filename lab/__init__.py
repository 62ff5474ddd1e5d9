"""The disposable lab: hosts with a real systemd, their network, a registry, and an internet of its own.

Nothing in ``portcullis/`` or ``components/`` imports it.
"""
