"""The settings described for people and for editors, from the same declaration that reads them."""

from __future__ import annotations

import json
from typing import Any

from portcullis.settings import hardening
from portcullis.settings.acme import ACME, DNS
from portcullis.settings.apps import APP, JOBS
from portcullis.settings.backups import BACKUPS, RESTIC
from portcullis.settings.faults import NAMESPACE
from portcullis.settings.hosts import BOOTSTRAP, HOST, JUMP
from portcullis.settings.images import IMAGES
from portcullis.settings.kinds import REQUIRED, Field, Section
from portcullis.settings.load import KEYS
from portcullis.settings.policies import EXEMPTION, POLICY
from portcullis.settings.proxy import PROXY
from portcullis.settings.secrets_section import REGISTRY
from portcullis.settings.sites import CERTIFICATE, CORS, HSTS, LIMITS, MAINTENANCE, SITE
from portcullis.settings.store_mongo import MONGO, MONGO_DATABASE
from portcullis.settings.stores import REDIS
from portcullis.settings.tunnels import TUNNEL

_TABLES: dict[str, Section[Any]] = {
    "hosts": HOST,
    "hosts.*.jump": JUMP,
    "hosts.*.bootstrap": BOOTSTRAP,
    "hosts.*.ssh": hardening.SSH,
    "hosts.*.users.*": hardening.USER,
    "hosts.*.preview": hardening.PREVIEW,
    "hosts.*.firewall": hardening.FIREWALL,
    "hosts.*.firewall.allow.*": hardening.RULE,
    "hosts.*.fail2ban": hardening.FAIL2BAN,
    "hosts.*.updates": hardening.UPDATES,
    "hosts.*.kernel": hardening.KERNEL,
    "hosts.*.upkeep": hardening.UPKEEP,
    "hosts.*.dockerEngine": hardening.DOCKER_ENGINE,
    "hosts.*.dockerEngine.addressPools": hardening.POOL,
    "hosts.*.proxy": PROXY,
    "hosts.*.exposure": hardening.EXPOSURE,
    "images": IMAGES,
    "registries.*": REGISTRY,
    "stores.redis": REDIS,
    "stores.mongo": MONGO,
    "stores.mongo.databases.*": MONGO_DATABASE,
    "backups": BACKUPS,
    "backups.restic": RESTIC,
    "apps": APP,
    "apps.*.jobs": JOBS,
    "acme": ACME,
    "acme.dns": DNS,
    "sites": SITE,
    "sites.*.cors": CORS,
    "sites.*.hsts": HSTS,
    "sites.*.limits": LIMITS,
    "sites.*.maintenance": MAINTENANCE,
    "sites.*.certificate": CERTIFICATE,
    "tunnels": TUNNEL,
    "policy": POLICY,
    "policy.exempt.*.*": EXEMPTION,
}


def json_schema() -> str:
    """Return the JSON Schema of a stack file, `Pulumi.<stack>.yaml`, for editors.

    It knows our own keys only: whatever else Pulumi allows in such a file passes.
    """
    keys = {f"{NAMESPACE}:{key}": kind.schema() for key, kind in KEYS.items()}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A stack of Portcullis",
        "type": "object",
        "properties": {
            "config": {
                "type": "object",
                "properties": keys,
                "patternProperties": {f"^{NAMESPACE}:(?!(?:{'|'.join(KEYS)})$)": False},
            },
        },
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def table(name: str) -> str:
    """Return the keys of a section as a table in Markdown."""
    lines = ["| key | what it is | without it |", "|---|---|---|"]
    for field in _TABLES[name].fields:
        meaning = field.meaning.replace("|", "\\|")
        lines.append(f"| `{field.key}` | {meaning} | {_default(field)} |")
    return "\n".join(lines) + "\n"


def with_tables(page: str) -> str:
    """Return a page in Markdown with each table under its mark, `<!-- table: hosts -->`, written anew."""
    for name in _TABLES:
        mark, end = f"<!-- table: {name} -->\n", "<!-- end -->\n"
        before, found, after = page.partition(mark)
        if not found or end not in after:
            raise ValueError(f"the page has no place for the table of {name}")
        page = before + mark + table(name) + end + after.partition(end)[2]
    return page


def _default(field: Field) -> str:
    if field.default is REQUIRED:
        return "required"
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    return f"`{field.default}`" if isinstance(field.default, str | int) and field.default != "" else ""
