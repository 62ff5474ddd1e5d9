"""The half of Portcullis that runs on the host: standard library only, Python 3.9 or newer.

It is sent over as a zip, started with ``python3 -I`` as root, and speaks JSON lines (see `main`). It knows
files, packages and services; it knows nothing of Pulumi.
"""
