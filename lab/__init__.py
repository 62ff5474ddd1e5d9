"""The disposable lab: hosts with a real systemd, their network, a registry, and a stand-in for the internet.

Nothing in ``portcullis/`` or ``components/`` imports the lab.
"""
