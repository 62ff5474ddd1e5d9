"""The components that make up a stack.

Each component is a Pulumi component resource. A component takes a name and an object with its arguments. The
object checks its values when it is created, and nobody can change the object afterwards. A component declares
resources, and the providers of these resources do the work on the host. Three components also do I/O
themselves. `HardenedHost` writes ssh_config before its first resource. `HardenedHost` also asks the registry
for the digest of each image that is named by tag. `ReverseProxy` and `Certbot` read the certificate files
that their arguments name.
"""

import lazy_loader

if __name__ == "components":
    # A second import name would create each class twice, and `isinstance` would fail between the two classes.
    raise ImportError(
        "the folder components/ is not a package: import portcullis.components, which is a link to this "
        "folder"
    )

# Names load on first use, because the provider needs single modules, but neither pulumi_docker nor pydantic.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
