"""In a preview, any input may be unknown. `check` accepts an unknown input without a fault."""

from __future__ import annotations

from typing import Any

import pytest
from pulumi.output import UNKNOWN

from portcullis.provider.base import import_kinds, kinds

import_kinds()
PROVIDERS = {kind.type_name(): kind for kind in kinds().values()}
CERTIFICATE = {
    "lineage": "a.example", "domains": {"a.example": "covered"}, "common_name": "a.example",
    "server": "https://acme.example/dir", "email": "a@a.example", "key_type": "ecdsa", "on_delete": "remove",
    "webroot": "/var/www/acme",
}  # fmt: skip
JAIL = {
    "jail": "sshd", "path": "/etc/fail2ban/x", "content": "", "enabled": True, "options": {}, "ignoreip": {},
}  # fmt: skip
REDIS = {
    "acl": "/srv/users.acl", "user": "ann", "address": "172.17.0.1:6379", "container": "redis",
    "ops": "/srv/ops", "rules": "+@all", "password": "x" * 40, "keeper": True,
}  # fmt: skip
SYSCTL = {
    "path": "/etc/sysctl.d/99-x.conf", "content": "#", "owner": "root", "group": "root", "mode": "0644",
    "values": {"net.ipv4.tcp_syncookies": "1"},
}  # fmt: skip
USER = {"user": "ann", "keys": {}, "on_delete": "keep"}
CASES: list[tuple[str, dict[str, Any], str, Any]] = [
    ("Certificate", CERTIFICATE, "common_name", UNKNOWN),
    ("Certificate", CERTIFICATE, "unit", UNKNOWN),
    ("Fail2banJail", JAIL, "ignoreip", UNKNOWN),
    ("Fail2banJail", JAIL, "options", {"port": UNKNOWN}),
    ("GeneratedSecret", {}, "length", UNKNOWN),
    ("GeneratedSecret", {}, "rotate", UNKNOWN),
    ("RedisUser", REDIS, "gid", UNKNOWN),
    ("Sysctl", SYSCTL, "content", UNKNOWN),
    ("Sysctl", SYSCTL, "optional", UNKNOWN),
    ("Sysctl", SYSCTL, "optional", ["net.ipv4.tcp_syncookies", UNKNOWN]),
    ("User", USER, "groups", UNKNOWN),
    ("User", USER, "groups", ["sudo", UNKNOWN]),
]


@pytest.mark.parametrize(
    ("kind", "others", "name", "value"), [pytest.param(*case, id=f"{case[0]}.{case[2]}") for case in CASES]
)
def test_an_unknown_input_is_no_fault(kind: str, others: dict[str, Any], name: str, value: Any) -> None:
    news = {"host": "web1", "managed_by": "urn:pulumi:lab::web::x::it", **others, name: value}
    checked = PROVIDERS[kind]().check({}, news)
    assert checked.failures == []
    assert "Unknown" in repr(checked.inputs[name])
    assert not [text for text in checked.inputs.values() if isinstance(text, str) and "Unknown" in text]
