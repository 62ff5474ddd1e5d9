"""The disposable lab: hosts with a real systemd, their network, a registry, and what stands in for the internet.

Nothing in ``portcullis/`` or ``components/`` imports it.
"""
