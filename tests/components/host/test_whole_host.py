"""On a host with every feature, no secret is unencrypted, and the parts wait for each other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from pulumi import ResourceOptions

from portcullis.components import HardenedHost, OutsideProbe, changes_of
from portcullis.components.host.declared import declared
from portcullis.components.host.stack import StackArgs
from portcullis.config import load
from tests.config.test_settings import KEY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.recording_engine import Deploy, Registered

DIGEST = "@sha256:" + "a" * 64
SECRETS = {
    "stripe": "planted-app",
    "alice": "planted-visitor",
    "dns": "dns_token = planted-dns\n",
}
SETTINGS: dict[str, Any] = {
    "hosts": {
        "web1": {
            "address": "203.0.113.10",
            "os": "debian-13",
            "hostKey": KEY,
            "user": "deploy",
            "users": {"deploy": {"keys": {"laptop": KEY}, "sudo": True}},
            "preview": {},
        }
    },
    "secrets": SECRETS,
    "registries": {"ghcr.io": {"username": "bot", "password": "planted-login"}},
    "stores": {
        "redis": {"image": f"redis:8{DIGEST}", "tls": True},
        "mongo": {
            "image": f"mongo:8{DIGEST}",
            "databases": {"shop": {}},
            "formerPassword": "planted-former",
        },
    },
    "backups": {
        "restic": {
            "repository": "s3:https://s3.example.com/web1",
            "environment": {"AWS_SECRET_ACCESS_KEY": "planted-backend"},
            "password": "planted-repository",
        }
    },
    "apps": {
        "api": {
            "image": f"ghcr.io/acme/api{DIGEST}",
            "port": 8080,
            "user": 1000,
            "uses": ["redis", "mongo.shop"],
            "secrets": ["stripe"],
        }
    },
    "acme": {"email": "ops@example.com", "dns": {"provider": "cloudflare", "credentials": "dns"}},
    "sites": {
        "api.example.com": {"app": "api", "challenge": "dns", "basicAuth": {"alice": "alice"}},
        "inside.example.com": {"app": "api", "tls": "internal"},
    },
    "tunnels": {"bob": {"to": ["redis", "mongo"]}},
}
PLANTED = (
    "planted-app",
    "planted-dns",
    "planted-login",
    "planted-former",
    "planted-backend",
    "planted-repository",
    "generated-",
    " pkcs8",
)
"""The texts of all secrets, also those that the engine makes up. Passwords of visitors are hashed before."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def host() -> HardenedHost:
    encrypted = ["secrets", "registries", "stores", "backups"]
    args = load.load(StackArgs, SETTINGS, encrypted).host_args("web1")
    made = HardenedHost("web1", args, preview_key=KEY)
    opts = ResourceOptions(depends_on=[made])
    OutsideProbe("web1-outside", declared=declared("web1", args), triggers=changes_of(made), opts=opts)
    return made


def in_clear(resource: Registered) -> list[str]:
    """Return the inputs that contain a secret without a secret mark."""
    return [
        f"{resource.name}.{key}: {text}"
        for key, value in resource.inputs.items()
        for text in (*PLANTED, "planted-visitor")
        if key not in resource.secret and text in json.dumps(value, default=str)
    ]


def test_no_secret_reaches_the_engine_unmarked(deploy: Deploy) -> None:
    resources = deploy(host).declared
    assert [one for resource in resources for one in in_clear(resource)] == []
    everything = json.dumps([resource.inputs for resource in resources], default=str)
    assert [text for text in PLANTED if text not in everything] == [], "each has come to its resource"
    assert "planted-visitor" not in everything


def test_the_parts_of_a_whole_host_wait_for_each_other(deploy: Deploy) -> None:
    engine = deploy(host)
    closed = {"web1-firewall-policy", "web1-firewall-forward", "web1-firewall-service"}
    runs = {"web1-docker-service", *closed}
    order = {
        # sshd knows an account before the account exists.
        "web1-preview-account": {"web1-ssh-server"},
        "web1-tunnel-bob-account": {"web1-ssh-server"},
        **{made.name: runs for made in (*engine.of(":Container"), *engine.of("network:Network"))},
        "api-container": {
            "redis-state",
            "redis-user-api",
            "mongo-shop",
            "api-secrets-stripe",
            "api-secrets-redis_url",
            "api-secrets-mongo_shop_url",
        },
        "web1-backup-status": {"redis-state", "redis-user-ops", "mongo-root", "mongo-shop"},
        # The authority connects to port 80, and no request is sent to an unhealthy app.
        "web1-nginx-packages": closed,
        "web1-nginx-api.example.com-certificate": {"web1-nginx-service", "web1-nginx-acme-folder"},
        "web1-nginx-api.example.com": {"web1-nginx-api.example.com-certificate", "api-state"},
        "web1-exposure-found": {"web1-nginx-drain", "api-state", "redis-state", "mongo-shop", *runs},
        "web1-inventory-found": {"web1-nginx-drain", "api-state", "redis-state", "mongo-shop", *runs},
    }
    lacking = {name: first - engine.before(name) for name, first in order.items()}
    assert {name: first for name, first in lacking.items() if first} == {}
    others = {one.name for one in engine.declared if one.options.custom} - {"web1-outside-scan"}
    assert engine.before("web1-outside-scan") >= others
