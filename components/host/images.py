"""Replaces the tags of images, of a stack or of a host, by the digests that they stand for now."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from portcullis.registry import resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.components.containers.args import AppArgs
    from portcullis.components.host.args import HardenedHostArgs
    from portcullis.components.host.stack import StackArgs
    from portcullis.components.mongodb.args import MongoDBArgs
    from portcullis.components.redis.args import RedisArgs

    Parts = Mapping[str, AppArgs | RedisArgs | MongoDBArgs]

A = TypeVar("A", "StackArgs", "HardenedHostArgs")


def resolved(args: A, root: str) -> A:
    """Return the arguments with a digest in each image.

    Only images without a digest cost a request to their registry. An image that is an output stays as it is.

    Args:
        args: the arguments, with images and the logins at their registries.
        root: the beginning of paths in messages: `portcullis:`, `HardenedHostArgs.`.

    Raises:
        SettingsError: with a fault for every image whose registry gives no digest.
    """
    images = resolve(named(args, root), args.registries, place=f"{root}registries")
    # model_copy does not validate, and need not: a valid image stays valid with its digest.
    changed = {
        section: {
            name: _with(part, images.get(f"{root}{section}.{name}.image")) for name, part in parts.items()
        }
        for section, parts in _parts(args).items()
    }
    return args.model_copy(update=changed)


def named(args: StackArgs | HardenedHostArgs, root: str) -> dict[str, str]:
    """Return every image that is already known, by its path in the settings."""
    return {
        f"{root}{section}.{name}.image": part.image
        for section, parts in _parts(args).items()
        for name, part in parts.items()
        if isinstance(part.image, str)
    }


def _parts(args: StackArgs | HardenedHostArgs) -> dict[str, Parts]:
    return {"apps": args.apps, "stores": cast("Parts", args.stores)}


def _with(part: AppArgs | RedisArgs | MongoDBArgs, image: str | None) -> object:
    return part if image is None else part.model_copy(update={"image": image})
