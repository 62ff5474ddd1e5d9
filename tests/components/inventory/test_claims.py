"""The items on a host that the resources of each kind claim as declared.

The inventory leaves claimed items out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from portcullis.agent.claims import NOTHING, Claimed, Claims
from portcullis.agent.kinds import Kinds
from portcullis.agent.machine import Machine
from portcullis.agent.store import Record, Store
from portcullis.host.provider import HostProvider
from portcullis.provider.base import import_kinds, kinds

if TYPE_CHECKING:
    from pathlib import Path

CLAIMS: dict[tuple[str, str], tuple[dict[str, Any], Claims]] = {
    ("file", "/etc/motd"): ({}, Claims(paths=("/etc/motd",))),
    ("directory", "/srv/x"): ({}, Claims(paths=("/srv/x",))),
    ("tree", "/srv/x"): ({}, Claims(trees=("/srv/x",))),
    ("service", "nginx.service"): ({}, Claims(units=("nginx.service",))),
    ("packages", "urn"): ({"names": ["nginx", "ufw"]}, Claims(packages=("nginx", "ufw"))),
    ("sysctl", "/etc/sysctl.d/60-x.conf"): ({}, Claims(paths=("/etc/sysctl.d/60-x.conf",))),
    ("users.users", "deploy"): (
        {},
        Claims(
            paths=(
                "/home/deploy", "/home/deploy/.ssh", "/home/deploy/.ssh/authorized_keys",
                "/etc/sudoers.d/portcullis-deploy",
            ),
            users=("deploy",),
        ),
    ),
    ("users.administrators", "host"): ({}, Claims(paths=("/etc/sudoers", "/etc/sudoers.d"))),
    ("fail2ban.jails", "sshd"): ({}, Claims(paths=("/etc/fail2ban/jail.d/zz-portcullis-sshd.local",))),
    ("firewall.forward_filters", "host"): (
        {},
        Claims(
            paths=("/etc/portcullis/filter.nft", "/etc/systemd/system/portcullis-filter.service"),
            units=("portcullis-filter.service",),
        ),
    ),
    ("redis.redis_users", "x"): (
        {"acl": "/etc/portcullis/redis/users.acl"},
        Claims(paths=("/etc/portcullis/redis/users.acl",)),
    ),
}  # fmt: skip


def claims(tmp_path: Path, kind: str, item: str, spec: dict[str, Any]) -> Claims:
    made = Kinds(Machine(state=tmp_path), Store(tmp_path))[kind]
    return made.claims(Record(kind, item, "web/prod", "urn", spec, "", {}))


@pytest.mark.parametrize(("kind", "item"), CLAIMS)
def test_a_kind_claims_its_own_things(tmp_path: Path, kind: str, item: str) -> None:
    spec, expected = CLAIMS[kind, item]
    assert claims(tmp_path, kind, item, spec) == expected


def test_a_file_that_sudo_ignores_is_not_claimed(tmp_path: Path) -> None:
    for name in ("mallory", "later.off", "kept~"):
        (tmp_path / "sudoers.d").mkdir(exist_ok=True)
        (tmp_path / "sudoers.d" / name).write_text("mallory ALL=(ALL) NOPASSWD: ALL\n")
    made = Kinds(Machine(state=tmp_path, etc=tmp_path), Store(tmp_path))["users.administrators"]
    found = made.claims(Record("users.administrators", "host", "web/prod", "urn", {}, "", {}))
    assert {path.rpartition("/")[2] for path in found.paths} == {"sudoers", "sudoers.d", "mallory"}
    assert not found.trees


def test_every_kind_claims_from_a_record_of_another_version(tmp_path: Path) -> None:
    import_kinds()
    for cls in kinds().values():
        if issubclass(cls, HostProvider):
            claims(tmp_path, cls.kind, "x", {})


def test_files_of_ufw_with_changes_by_others_are_not_claimed(tmp_path: Path) -> None:
    found = claims(tmp_path, "firewall.ufw", "host", {"custom": ["before.rules"]}).paths
    assert "/etc/ufw/user.rules" in found
    assert "/etc/default/ufw" in found
    assert "/etc/ufw/before.rules" not in found


def test_hooks_of_certbot_are_not_claimed(tmp_path: Path) -> None:
    claimed = Claimed([claims(tmp_path, "certificates", "shop", {"lineage": "shop", "name": "x"})])
    for own in ("live/shop/privkey.pem", "archive/shop/cert1.pem", "renewal/shop.conf", "accounts/x/y"):
        assert claimed.has_path(f"/etc/letsencrypt/{own}")
    for other in ("renewal-hooks/deploy/evil", "live/other/cert.pem", "renewal/other.conf", "cli.ini"):
        assert not claimed.has_path(f"/etc/letsencrypt/{other}")


def test_a_tree_claims_its_content_and_no_path_with_the_same_prefix() -> None:
    claimed = Claimed([Claims(trees=("/srv/x",), paths=("/etc/a",)), NOTHING])
    assert [claimed.has_path(path) for path in ("/srv/x", "/srv/x/y", "/srv/xy", "/etc/a", "/etc/a/b")] == [
        True, True, False, True, False,
    ]  # fmt: skip
