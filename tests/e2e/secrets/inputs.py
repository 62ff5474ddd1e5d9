"""Every input that can have a secret, and the canary that the drill sets there."""

from __future__ import annotations

SETTINGS = {
    "apps.*.env.*": "apps.env",
    "apps.*.command.*": "none: `ps` shows it to everybody on the host, as docs/components.md says",
    "apps.*.healthCommand.*": "none: as command",
    "backups.restic.environment.*": "restic.environment",
    "backups.restic.password": "restic.password",
    "backups.restic.repository": "restic.repository",
    "hosts.*.upkeep.notify.*": "none: everybody on the host can read it, as docs/configuration.md says",
    "registries.*.password": "registry",
    "registries.*.username": "none: a name",
    "secrets.*": "secrets.app secrets.env secrets.visitor secrets.dns secrets.key",
    "stores.mongo.formerPassword": "mongo.formerPassword",
}
"""Settings that may be encrypted. A text that begins with "none" says why it is no secret."""

UNMARKED = {"ResticArgs.repository": "backups.restic.repository"}
"""Settings that are never shown and yet are no secret by themselves: where they stand in `SETTINGS`."""

KINDS = {
    "GeneratedSecret.previous": "made",
    "GeneratedSecret.value": "made",
    "MongoRoot.password": "made",
    "MongoRoot.previous": "mongo.formerPassword",
    "MongoUser.password": "made",
    "PulledImage.password": "registry",
    "RedisUser.password": "made",
    "StoreUser.password": "made",
}
"""Properties of resources that are always secret. "made" is read from the state once it is there."""

PARTS = {
    "Certbot.secrets": "secrets.dns",
    "PrivateContainer.secret_env": "secrets.env",
    "PrivateContainer.secrets": "secrets.app",
    "ReverseProxy.secrets": "secrets.visitor secrets.key",
    "StoreLogin.password": "made",
}
"""What parts of a program of one's own take beside the settings and the properties above."""

ENVIRONMENT = {
    "GITHUB_TOKEN": "forge",
    "GITLAB_TOKEN": "forge",
    "PORTCULLIS_PREVIEW_KEY_FILE": "made",
    "PULUMI_ACCESS_TOKEN": "forge",
    "PULUMI_CONFIG_PASSPHRASE": "passphrase",
    "PULUMI_CONFIG_PASSPHRASE_FILE": "none: a file's name",
    "PULUMI_CONFIG_SECRET_KEYS": "none: names of settings",
}
"""Variables of whoever deploys, as the code names them."""

GIVEN = (
    "apps.env", "forge", "mongo.formerPassword", "passphrase", "registry", "restic.environment",
    "restic.password", "restic.repository", "secrets.app", "secrets.dns", "secrets.env", "secrets.key",
    "secrets.visitor",
)  # fmt: skip
"""The canaries that the drill gives."""
