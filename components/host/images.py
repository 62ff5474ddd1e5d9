"""Replaces the tags of images by their present digests, for a stack or for one host."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from portcullis.registry import resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.components.containers.args import AppArgs
    from portcullis.components.host.args import HardenedHostArgs
    from portcullis.components.host.stack import StackArgs
    from portcullis.components.mongodb.args import MongoDBArgs
    from portcullis.components.postgres.args import PostgreSQLArgs
    from portcullis.components.redis.args import RedisArgs

    Parts = Mapping[str, AppArgs | RedisArgs | MongoDBArgs | PostgreSQLArgs]

A = TypeVar("A", "StackArgs", "HardenedHostArgs")


def resolved(args: A, root: str) -> A:
    """Return the arguments with a digest in each image.

    A registry is asked only for images without a digest. An image that is a Pulumi output stays as it is.

    Args:
        args: the arguments, with images and the logins at their registries.
        root: the beginning of paths in messages: `portcullis:`, `HardenedHostArgs.`.

    Raises:
        SettingsError: a registry has no digest for an image. The error has a fault for every such image.
    """
    images = resolve(named(args, root), args.registries, place=f"{root}registries")
    # model_copy does not validate its result. A valid image stays valid with its digest.
    changed = {
        section: {
            name: _with(part, images.get(f"{root}{section}.{name}.image")) for name, part in parts.items()
        }
        for section, parts in _parts(args).items()
    }
    return args.model_copy(update=changed)


def named(args: StackArgs | HardenedHostArgs, root: str) -> dict[str, str]:
    """Return every image whose name is not a Pulumi output, by its path in the settings."""
    return {
        f"{root}{section}.{name}.image": part.image
        for section, parts in _parts(args).items()
        for name, part in parts.items()
        if isinstance(part.image, str)
    }


def _parts(args: StackArgs | HardenedHostArgs) -> dict[str, Parts]:
    return {"apps": args.apps, "stores": cast("Parts", args.stores)}


def _with(part: AppArgs | RedisArgs | MongoDBArgs | PostgreSQLArgs, image: str | None) -> object:
    return part if image is None else part.model_copy(update={"image": image})
