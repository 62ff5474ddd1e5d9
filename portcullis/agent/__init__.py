"""The agent: the half of Portcullis that runs on the host.

The agent uses only the standard library of Python 3.10 or newer.

The deploying machine sends the agent as a zip and starts it as root with ``python3 -I``. The deploying
machine and the agent exchange JSON lines (see `main`). The agent handles files, packages, services and other
kinds of host state. The agent has no connection to Pulumi.
"""
