"""The agent: the half of Portcullis that runs on the host. Standard library only, Python 3.9 or newer.

The deploying machine sends it as a zip and starts it as root with ``python3 -I``. The two exchange JSON lines
(see `main`). The agent knows files, packages and services. It knows nothing about Pulumi.
"""
