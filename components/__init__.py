"""The components that a stack is composed of.

Each is a Pulumi component resource that takes a name and frozen arguments, validated where they are made.
What they declare is done by the providers. None does I/O itself, with three exceptions: `HardenedHost` writes
ssh_config before its first resource; where an image is named by tag, its registry is asked for the digest;
`ReverseProxy` and `Certbot` read the certificates that arguments name by file.
"""

import lazy_loader

if __name__ == "components":
    # A second name would make a second class of each component, and `isinstance` would tell them apart.
    raise ImportError("import portcullis.components: the folder components/ is linked into the package")

# Loaded when first used: the provider needs one module of a part, and not pulumi_docker and pydantic.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
