"""The components that make up a stack.

Each component is a Pulumi component resource. It takes a name and frozen arguments, which are validated when
they are made. A component only declares resources; the providers do the work. Three exceptions do I/O:
`HardenedHost` writes ssh_config before its first resource. It also asks the registry for the digest of each
image that is named by tag. `ReverseProxy` and `Certbot` read the certificate files that their arguments name.
"""

import lazy_loader

if __name__ == "components":
    # A second import name would create each class a second time, and `isinstance` would fail between the two.
    raise ImportError("import portcullis.components instead: the package contains a link to components/")

# Names load on first use: the provider needs one module of a part, but neither pulumi_docker nor pydantic.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
