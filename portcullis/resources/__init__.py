"""General kinds of host state as Pulumi resources: files, folders, packages, services, kernel settings."""

from portcullis.resources.directory.resource import Directory
from portcullis.resources.file.resource import File
from portcullis.resources.packages.resource import Packages
from portcullis.resources.service.resource import Service
from portcullis.resources.sysctl.resource import Sysctl
from portcullis.resources.tree.resource import Tree

__all__ = ["Directory", "File", "Packages", "Service", "Sysctl", "Tree"]
