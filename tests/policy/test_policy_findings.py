"""The message of each policy for every form of a violation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from portcullis.components.stores.facts import StoreServerProps
from portcullis.policy import args as policies
from portcullis.policy import firewall_rules, stores
from portcullis.policy.model import UNKNOWN
from portcullis.policy.verdict import judge
from tests.policy.policy_examples import (
    DIGEST,
    EVERYWHERE,
    HARDENED,
    HBA,
    IMAGE,
    LOCAL,
    NETWORK,
    NOLOGIN,
    OPEN_HBA,
    PROVIDER,
    REMOTE,
    SERVICE,
    SSHD,
    TABLE,
    VOLUME,
    container,
    host,
    of,
    opened_in_filter,
    site,
    tls_server,
    user,
)

if TYPE_CHECKING:
    from portcullis.policy.model import Resource

SETTINGS = policies.PolicyArgs()
OPEN = "everybody who reaches the server may read and delete everything"
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----"


def found(policy: str, *resources: Resource) -> list[str]:
    """Return a policy's findings without the name of the resource and the full stop."""
    verdicts = [one for one in judge(list(resources), SETTINGS) if one.policy == policy]
    return [one.what.removeprefix(f"{one.resource}: ").removesuffix(".") for one in verdicts]


# --- ufw rules


@pytest.mark.parametrize(
    ("rule", "ports"),
    [
        ("in 443/tcp", ((443, 443),)),
        ("443", ((443, 443),)),
        ("in 80,443/tcp", ((80, 80), (443, 443))),
        ("in 80,6000:7000/tcp", ((80, 80), (6000, 7000))),
        ("in 443/tcp on eth0", ((443, 443),)),
        ("in 443/tcp to 203.0.113.9", ((443, 443),)),
        ("in any port 443", ()),
        ("in 80,,443:,:8443/tcp", ((80, 80), (443, 443), (8443, 8443))),
        ("in :/tcp", ()),
        ("mongodb", ((27017, 27017),)),
        ("in mysql", ((3306, 3306),)),
        ("postgresql/tcp", ((5432, 5432),)),
        ("redis from 192.0.2.7", ((6379, 6379),)),
        ("in 443/tcp (v6)", ((443, 443),)),
        ("route in 443/tcp", ((443, 443),)),
        ("OpenSSH", ()),
        ("in 443/tcp on redis", ((443, 443),)),
        ("route out 443/tcp", ((443, 443),)),
    ],
)
def test_the_ports_that_a_rule_opens(rule: str, ports: tuple[tuple[int, int], ...]) -> None:
    read = firewall_rules.opened(rule, "allow # a comment")
    assert read is not None
    assert read.ports == ports


@pytest.mark.parametrize(
    ("rule", "everything"),
    [
        ("in any", True), ("in (v6)", True), ("route any", True), ("route out to 203.0.113.9", True),
        ("in from 192.0.2.7", True), ("in any to 203.0.113.9", True), ("in on eth0", False),
        ("in 443/tcp", False), ("OpenSSH", False), ("in proto esp", False),
    ],
)  # fmt: skip
def test_a_rule_that_names_no_port_opens_everything(rule: str, everything: bool) -> None:  # noqa: FBT001
    read = firewall_rules.opened(rule, "allow")
    assert read is not None
    assert read.everything is everything


@pytest.mark.parametrize(
    ("rule", "everybody"),
    [
        ("in 443/tcp", True), ("in 443/tcp from any", True), ("in 443/tcp from 0.0.0.0/0", True),
        ("in 443/tcp from 192.0.2.7", False), ("in 443/tcp to 192.0.2.7", True),
    ],
)  # fmt: skip
def test_a_rule_without_a_narrow_source_is_for_everybody(rule: str, everybody: bool) -> None:  # noqa: FBT001
    read = firewall_rules.opened(rule, "limit")
    assert read is not None
    assert read.everybody is everybody


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("in 443/tcp", "deny"),
        ("in 443/tcp", "reject # allow"),
        ("out 443/tcp", "allow"),
        ("out any", UNKNOWN),
    ],
)
def test_a_rule_that_admits_no_traffic(rule: str, value: Any) -> None:
    assert firewall_rules.opened(rule, value) is None


def test_a_rule_with_an_unknown_action_counts_as_opening() -> None:
    assert firewall_rules.opened("in 443/tcp", UNKNOWN) is not None


# --- databases


DATABASES = {
    "SQL Server": (1433,), "MySQL": (3306,), "PostgreSQL": (5432,), "CouchDB": (5984,), "Redis": (6379, 6380),
    "InfluxDB": (8086,), "Cassandra": (9042,), "Elasticsearch": (9200,), "memcached": (11211,),
    "MongoDB": (27017, 27018, 27019),
}  # fmt: skip


def test_the_ports_of_databases() -> None:
    known = {port: name for name, ports in DATABASES.items() for port in ports}
    assert known == stores.PORTS


@pytest.mark.parametrize(("port", "name"), stores.PORTS.items())
def test_an_open_database_port_is_reported_by_name(port: int, name: str) -> None:
    policy = "no-open-database-port"
    assert found(policy, host("UfwPolicy", rules={f"in {port}/tcp": "allow"})) == [
        f"opens port {port} ({name}) to the whole Internet"
    ]
    assert found(policy, opened_in_filter(str(port))) == [
        f"lets the whole Internet reach the container port {port} ({name})"
    ]


def test_a_range_of_ports_has_the_name_of_its_first_database() -> None:
    policy = "no-open-database-port"
    for ports in ("6379:6400", "6370:6379"):
        first, last = ports.split(":")
        assert found(policy, host("UfwPolicy", rules={f"in {ports}/tcp": "allow"})) == [
            f"opens port {first} to {last} (Redis) to the whole Internet"
        ]
    assert found(policy, host("UfwPolicy", rules={"in 6381:6400/tcp": "allow"})) == []
    assert found(policy, opened_in_filter("6370-6379")) == [
        "lets the whole Internet reach the container port 6370-6379 (Redis)"
    ]
    assert found(policy, host("UfwPolicy", rules=UNKNOWN)) == []


NO_USERS = f"starts Redis without users or a password: {OPEN}"
NO_AUTH = f"starts MongoDB without --auth: {OPEN}"
TRUST = f"lets clients in without a password (trust): {OPEN}"
PASSWORDLESS = "lets a Redis user in without a password"
REDIS_CONF = "/etc/portcullis/redis/redis/redis.conf"


def redis_port(port: float) -> list[dict[str, Any]]:
    return [{"ip": "172.17.0.1", "internal": port, "external": port}]


AUTHENTICATION = [
    *[
        (container(command=[program]), [NO_USERS])
        for program in ("redis-server", "valkey-server", "keydb-server")
    ],
    (container(command=["/usr/local/bin/redis-server"]), [NO_USERS]),
    *[(container(ports=redis_port(port)), [NO_USERS]) for port in (6379.0, 6380.0)],
    (container(ports=redis_port(6379.0), command=["app"]), []),
    (container(entrypoints=["redis-server"], command=["--requirepass", "x"]), []),
    (container(command=["redis-server", "--requirepass", "''"]),
     [f"starts Redis with an empty --requirepass: {OPEN}"]),
    (container(command=["redis-server", "--aclfile"]),
     [f"starts Redis with an empty --aclfile: {OPEN}"]),
    (container(command=["redis-server", "--aclfile", "/a", "--protected-mode", "NO"]),
     ["starts Redis with its protected mode off"]),
    (container(command=["redis-server", "--aclfile", "/a", "--protected-mode", "yes"]), []),
    (container(command=["redis-server", "--aclfile", "/a", "--user", "api", "nopass"]),
     ["starts Redis with a user who needs no password"]),
    (container(command=["redis-server", "--aclfile", "/a", "--user", "api", ">x"]), []),
    *[(container(ports=redis_port(port)), [NO_AUTH]) for port in (27017.0, 27018.0, 27019.0)],
    (container(ports=redis_port(27017.0), envs=["MONGO_INITDB_ROOT_PASSWORD=x"]), []),
    (container(ports=redis_port(27017.0), envs=["MONGO_INITDB_ROOT_PASSWORD_FILE=/run/secrets/x"]), []),
    (container(command=["mongod"], envs=["MONGO_INITDB_ROOT_PASSWORD=x"]), [NO_AUTH]),
    *[
        (container(command=["mongod", option, "x"]), [])
        for option in ("--auth", "--keyFile", "--config", "-f")
    ],
    (container(command=["mongod", "--auth", "--noauth"]),
     ["starts MongoDB with --noauth, which admits clients without a password"]),
    (container(command=["mongod", "--auth", "--transitionToAuth"]),
     ["starts MongoDB with --transitionToAuth, which admits clients without a password"]),
    (container(mounts=[{"type": "volume", "source": "m", "target": "/data/db"}], command=["app"]), []),
    *[
        (container(envs=[f"{key}={value}"]), [f"starts a database without a password ({key}={value})"])
        for key, values in (
            ("POSTGRES_HOST_AUTH_METHOD", ("trust", "Trust")),
            ("ALLOW_EMPTY_PASSWORD", ("yes", "true", "1")),
            ("MYSQL_ALLOW_EMPTY_PASSWORD", ("yes", "true", "1")),
            ("MARIADB_ALLOW_EMPTY_ROOT_PASSWORD", ("yes", "true", "1")),
        )
        for value in values
    ],
    (container(envs=["POSTGRES_HOST_AUTH_METHOD=scram-sha-256", "ALLOW_EMPTY_PASSWORD=no"]), []),
    (container(command=UNKNOWN, ports=redis_port(6379.0)), []),
    *[
        (host("File", path=path, content="bind *\n"), [f"declares no users: {OPEN}"])
        for path in (REDIS_CONF, "/etc/valkey.conf")
    ],
    (host("File", path="/etc/other.conf", content="bind *\n"), []),
    (host("File", path=REDIS_CONF, content="user api on >x\n"), []),
    (host("File", path=REDIS_CONF, content="REQUIREPASS x\n"), []),
    (host("File", path=REDIS_CONF, content="# requirepass x\n\nbind *\n"), [f"declares no users: {OPEN}"]),
    (host("File", path=REDIS_CONF, content="aclfile\n"), [f"has an empty aclfile: {OPEN}"]),
    (host("File", path=REDIS_CONF, content='RequirePass ""\n'), [f"has an empty RequirePass: {OPEN}"]),
    (host("File", path=REDIS_CONF, content="aclfile /a\nprotected-mode No\n"),
     ["switches Redis's protected mode off"]),
    (host("File", path=REDIS_CONF, content="aclfile /a\nprotected-mode yes\n"), []),
    (host("File", path=REDIS_CONF, content="aclfile /a\nuser api on nopass +@all\n"), [PASSWORDLESS]),
    (host("File", path=REDIS_CONF, content="aclfile /a\nuser api on nopass off\n"), []),
    (host("File", path=REDIS_CONF, content=UNKNOWN), []),
    (host("File", path="/etc/redis/users.acl", content="USER api off on nopass\n"), [PASSWORDLESS]),
    (host("File", path="/etc/redis/users.acl", content="user api on >x\n"), []),
    (host("File", path="/etc/redis/users.acl", content="userx on nopass\n"), []),
    (host("RedisUser", user="api", rules="nopass ~*"), ["lets the Redis user api in without a password"]),
    (host("MongoRoot", authentication="optional"), ["does not require authentication of MongoDB (optional)"]),
    (host("MongoRoot"), []),
    (host("MongoRoot", authentication=UNKNOWN), []),
    (host("StoreServer", store="postgres", login="lets everybody in"),
     ["does not require authentication of PostgreSQL (lets everybody in)"]),
    (host("StoreServer", store="postgres"), []),
    (host("StoreServer", store="postgres", login=UNKNOWN), []),
    *[(host("File", path=HBA, content=content), [TRUST]) for content in OPEN_HBA],
    (host("File", path="/etc/portcullis/postgres/hba.conf", content=OPEN_HBA[0]), [TRUST]),
    (container(uploads=[{"file": HBA, "content": OPEN_HBA[0]}]), [TRUST]),
    (container(entrypoints=["sh", "-c"], command=[f'printf "host all all all trust" >{HBA}']), [TRUST]),
    *[
        (host("File", path=HBA, content=content), [])
        for content in (
            "host all all all scram-sha-256\n",
            "local all all trust\n",
            "host trust trust trust reject\n",
            "host all all all trust-me\n",
            "host all all # all trust\n",
            "host all all\nall trust\n",
        )
    ],
]  # fmt: skip


@pytest.mark.parametrize(("resource", "said"), AUTHENTICATION)
def test_a_store_that_accepts_logins_without_a_password(resource: Resource, said: list[str]) -> None:
    assert found("store-must-authenticate", resource) == said


def test_the_property_that_tells_whether_postgresql_admits_anybody_exists() -> None:
    assert stores._REQUIRED["StoreServer"][1] in StoreServerProps.properties


def test_a_volume_that_would_be_deleted_is_reported() -> None:
    volume = of("docker:index/volume:Volume", "made")
    said = "the volume {} and its data are deleted with the resource"
    assert found("data-volume-protected", volume) == [said.format("made")]
    named = of("docker:index/volume:Volume", "made", name="data")
    assert found("data-volume-protected", named) == [said.format("data")]
    kept = of("portcullis:index:PrivateContainer", retained_volumes=["data"])
    assert found("data-volume-protected", named, kept, volume) == [said.format("made")]
    stranger = of("other:index:PrivateContainer", retained_volumes=["data"])
    assert found("data-volume-protected", named, stranger) == [said.format("data")]
    assert found("data-volume-protected", of("docker:index/volume:Volume", name=UNKNOWN)) == []


# --- secrets


URL, SECRET_URL = "a URL with a password", "redis://:hunter2@redis:6379"
PLAIN_SIGHT = [
    (container(envs=[f"X={SECRET_URL}"]), [f"has {URL} in the environment variable X"]),
    (container(envs=["DB_PASSWORD=hunter2"]), ["has a secret in the environment variable DB_PASSWORD"]),
    (container(labels=[{"label": "apiKey", "value": "hunter2"}]), ["has a secret in the label apiKey"]),
    (container(labels=[{"label": "x", "value": KEY}]), ["has a private key in the label x"]),
    (container(labels=[{"label": "apiKey", "value": UNKNOWN}]), []),
    (container(command=["app", SECRET_URL]), [f"has {URL} in its command"]),
    (container(entrypoints=["app", SECRET_URL]), [f"has {URL} in its entrypoint"]),
    (container(command=["app", "--password", "hunter2"]),
     ["has a secret in its command, after --password"]),
    (container(entrypoints=["app", "--token", "hunter2"]),
     ["has a secret in its entrypoint, after --token"]),
    (container(healthcheck={"tests": ["CMD", SECRET_URL]}), [f"has {URL} in its health check"]),
    (container(healthcheck={"tests": UNKNOWN}), []),
    (container(healthcheck={"tests": [UNKNOWN, "--pass=hunter2"]}),
     ["has a secret in its health check, after --pass"]),
    *[
        (of(kind, connection={"hostKey": "x"}, **{key: f"app {SECRET_URL}"}), [f"has {URL} in its {key}"])
        for kind in (LOCAL, REMOTE)
        for key in ("create", "update", "delete")
    ],
    (of(LOCAL, create="true", environment={"x": SECRET_URL}), [f"has {URL} in the environment variable x"]),
    (of(LOCAL, create="true", environment=UNKNOWN), []),
    (of("other:index:Command", create=f"app {SECRET_URL}"), []),
    (host("File", path="/x", content=SECRET_URL), []),
    *[(container(envs=[f"DB_PASSWORD={value}"]), []) for value in (
        "", "true", "False", "yes", "no", "none", "required", "optional", "/run/secrets/x", "3600")],
    (container(envs=["DB_PASSWORD=36000"]), ["has a secret in the environment variable DB_PASSWORD"]),
    *[
        (container(envs=[f"X={token}"]), ["has a token in the environment variable X"])
        for token in (
            "ghp_" + "a" * 30, "github_pat_" + "a" * 30, "glpat-" + "a" * 20, "sk_live_" + "a" * 16,
            "AKIA" + "A" * 16, "xoxb-" + "a" * 10, "eyJ" + "a" * 10 + ".eyJ" + "a" * 10 + "." + "a" * 10,
        )
    ],
    *[(container(command=["app", "--token", value]), []) for value in (
        "$TOKEN", '"$TOKEN"', "'$TOKEN'", "<token>", "--verbose", "/run/secrets/token")],
    (container(command=["app", "--api-key=hunter2"]), ["has a secret in its command, after --api-key"]),
    (container(command=["app", "--token"]), []),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "said"), PLAIN_SIGHT)
def test_a_secret_in_a_readable_place_is_reported(resource: Resource, said: list[str]) -> None:
    assert found("no-secret-in-plain-sight", resource) == said


# --- sites


@pytest.mark.parametrize(
    "answer",
    [
        "proxy_pass http://app;", "grpc_pass grpc://app;", "fastcgi_pass app:9000;", "uwsgi_pass app:9000;",
        "scgi_pass app:9000;", "root /srv;", "alias /srv/;", "try_files $uri =404;",
    ],
)  # fmt: skip
def test_every_directive_that_serves_content_needs_tls_and_hsts(answer: str) -> None:
    plain = f"server {{ listen 80; server_name a.example.com; location / {{ {answer} }} }}"
    assert found("site-has-tls", site(plain)) == ["serves the site a.example.com without TLS"]
    assert found("hsts-floor", site(plain)) == []
    assert found("hsts-floor", tls_server(f"location / {{ {answer} }}")) == [
        "the site a.example.com does not tell browsers to insist on HTTPS (no Strict-Transport-Security)"
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("server { listen 80; root /srv; }", ["serves the site without a name without TLS"]),
        ("server { server_name b.example.com; root /srv; }", ["serves the site b.example.com without TLS"]),
        ("http { server { listen 80; server_name c.org; root /x; } }", ["serves the site c.org without TLS"]),
        ("events { server { listen 80; root /x; } }", []),
        ("server { listen 443 quic; listen 443 ssl; root /srv; }", []),
        ("server { listen 80; return 301 https://a.example.com; }", []),
        ("server { listen 80; location /.well-known/acme-challenge/ { root /srv; } }", []),
        ("server { listen unix:/run/x.sock; root /srv; }", []),
        ("server { listen; root /srv; }", ["serves the site without a name without TLS"]),
        ("server; listen 80;", []),
        ("server { listen [::1]:80; root /srv; }", []),
        ("server { listen localhost:80; root /srv; }", []),
        (
            "server { listen 127.0.0.1:80; listen 80; root /srv; }",
            ["serves the site without a name without TLS"],
        ),
    ],
)
def test_sites_without_tls(content: str, said: list[str]) -> None:
    assert found("site-has-tls", site(content)) == said


HSTS = "add_header Strict-Transport-Security"
INNER = "location /a/b { root /c; }"
STRANGERS = "root /b; add_header X-A b;"


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        (f"root /srv; {HSTS} max-age=15551999;",
         ["lets browsers forget HTTPS after 15551999 s; the minimum is 15552000 s (180 days)"]),
        (f"root /srv; {HSTS} max-age=15552000;", []),
        (f"root /srv; {HSTS} includeSubDomains;",
         ["lets browsers forget HTTPS after 0 s; the minimum is 15552000 s (180 days)"]),
        (f"root /srv; add_header X-A b; {HSTS.lower()} max-age=63072000;", []),
        (f"root /srv; {HSTS} max-age=63072000; location /a {{ root /b; }}", []),
        (f"root /srv; {HSTS} max-age=63072000; location /a {{ root /b; add_header X-A b; }}",
         ["loses Strict-Transport-Security in location /a by an add_header of its own"]),
        (f"root /srv; {HSTS} max-age=63072000; location /a {{ root /b; {HSTS} max-age=1; }}",
         ["lets browsers forget HTTPS after 1 s; the minimum is 15552000 s (180 days)"]),
        (f"root /srv; {HSTS} max-age=63072000; location /a {{ add_header X-A b; {INNER} }}",
         ["loses Strict-Transport-Security in location /a/b by an add_header of its own"]),
        (f"root /srv; {HSTS} max-age=63072000; location /.well-known/acme-challenge/ {{ {STRANGERS} }}", []),
        (f"root /srv; {HSTS} max-age=63072000; location /a {{ return 204; add_header X-A b; }}", []),
        ("return 444;", []),
        (f"root /srv; {HSTS};",
         ["does not tell browsers to insist on HTTPS (no Strict-Transport-Security)"]),
    ],
)  # fmt: skip
def test_sites_that_let_browsers_forget_https(inside: str, said: list[str]) -> None:
    assert found("hsts-floor", tls_server(inside)) == [f"the site a.example.com {what}" for what in said]


# --- logins


def logs_in(policy: str, line: str) -> list[str]:
    return found(policy, host("File", path="/etc/ssh/sshd_config.d/00-x.conf", content=f"{line}\n"))


@pytest.mark.parametrize(
    "keyword", ["PasswordAuthentication", "KbdInteractiveAuthentication", "ChallengeResponseAuthentication"]
)
def test_each_option_for_password_logins_is_reported(keyword: str) -> None:
    policy = "ssh-without-passwords"
    for line in (f"{keyword} yes", f'{keyword}="yes"', f"  {keyword}\tyes  "):
        assert logs_in(policy, line) == [f"lets people log in with a password ({keyword.lower()} yes)"]
    assert logs_in(policy, f"{keyword} No") == []
    assert logs_in(policy, f"#{keyword} yes") == []
    assert logs_in(policy, f"# {keyword} yes") == []
    assert logs_in(policy, keyword) == [], "sshd refuses it"


def test_a_server_must_switch_passwords_off_explicitly() -> None:
    policy = "ssh-without-passwords"
    assert found(policy, host("SshServer", content="Port 22\n")) == [
        f"does not set {keyword} no, and sshd allows passwords by default"
        for keyword in ("PasswordAuthentication", "KbdInteractiveAuthentication")
    ]
    assert found(policy, host("File", path="/etc/ssh/sshd_config", content="Port 22\n")) == []
    assert found(policy, host("File", path="/etc/other", content="PasswordAuthentication yes\n")) == []
    methods = host("SshServer", content=SSHD + "AuthenticationMethods publickey,password publickey\n")
    assert found(policy, methods) == []
    methods = host("SshServer", content=SSHD + "AuthenticationMethods publickey PASSWORD\n")
    assert found(policy, methods) == [
        "lets people log in without a key (AuthenticationMethods publickey PASSWORD)"
    ]


@pytest.mark.parametrize(
    ("keyword", "allowed", "refused"),
    [
        ("permitrootlogin", ["no", "prohibit-password", "without-password", "forced-commands-only"], "yes"),
        *[
            (keyword, ["no", "No"], "yes")
            for keyword in (
                "permitemptypasswords", "hostbasedauthentication", "permituserenvironment", "permittunnel",
                "gatewayports", "x11forwarding",
            )
        ],
        ("strictmodes", ["yes"], "no"),
        ("authorizedkeyscommand", ["none"], "/usr/bin/keys"),
        ("trustedusercakeys", ["none"], "/etc/ssh/ca.pub"),
    ],
)  # fmt: skip
def test_each_option_that_weakens_ssh_is_reported(keyword: str, allowed: list[str], refused: str) -> None:
    for value in allowed:
        assert logs_in("ssh-stays-narrow", f"{keyword} {value}") == []
    ways = " or ".join(dict.fromkeys(value.lower() for value in allowed))
    assert logs_in("ssh-stays-narrow", f"{keyword} {refused}") == [
        f"weakens SSH: {keyword} {refused} (allowed: {ways})"
    ]


EVERY_PORT = "lets the key pc reach every port of the host, and of its network (no permitopen)"
MORE_THAN_A_TUNNEL = "lets the key pc of a user without a shell do more than tunnel (no `restrict`)"


@pytest.mark.parametrize(
    ("shell", "line", "said"),
    [
        (NOLOGIN, "restrict,port-forwarding ssh-ed25519 AAAA", [EVERY_PORT]),
        ("/bin/bash", "port-forwarding ssh-ed25519 AAAA", [EVERY_PORT]),
        ("/bin/bash", "permitopen=a:1 ssh-ed25519 AAAA", []),
        (NOLOGIN, "ssh-ed25519 AAAA", [MORE_THAN_A_TUNNEL]),
        ("/bin/false", "sk-ssh-ed25519@openssh.com AAAA", [MORE_THAN_A_TUNNEL]),
        ("/bin/false", "restrict ecdsa-sha2-nistp256 AAAA", []),
        (NOLOGIN, 'restrict,port-forwarding,permitopen="a:*" ssh-ed25519 AAAA',
         ['lets the key pc reach more than one named port (permitopen="a:*")']),
        (NOLOGIN, r'restrict,port-forwarding,command="a \" , b",permitopen="a:1" ssh-rsa AAAA', []),
        (NOLOGIN, "", [MORE_THAN_A_TUNNEL]),
    ],
)  # fmt: skip
def test_a_tunnel_key_with_too_many_rights(shell: str, line: str, said: list[str]) -> None:
    assert found("tunnels-are-limited", user(shell, {"pc": line})) == said
    assert found("tunnels-are-limited", host("File", shell=shell, keys={"pc": line})) == []
    assert found("tunnels-are-limited", user(shell, UNKNOWN)) == []
    assert found("tunnels-are-limited", user(shell, {"made": UNKNOWN, "pc": line})) == said


UNPINNED = "connects without a pinned host key (connection.hostKey)"
ANY_KEY = "lets Docker's connection trust any host key"


@pytest.mark.parametrize(
    ("resource", "said"),
    [
        (of(REMOTE, connection={"host": "a"}), [UNPINNED]),
        (of("command:remote:CopyToRemote", connection={"host": "a"}), [UNPINNED]),
        (of(REMOTE, connection={"hostKey": "x", "proxy": {"host": "b"}}), [UNPINNED]),
        (of(REMOTE, connection={"host": "a", "proxy": {"host": "b"}}), [UNPINNED, UNPINNED]),
        (of(REMOTE, connection={"hostKey": "x", "proxy": {"hostKey": "x"}}), []),
        (of(REMOTE, connection={"hostKey": "x", "proxy": UNKNOWN}), []),
        (of(REMOTE, connection=UNKNOWN), []),
        (of(LOCAL, connection={"host": "a"}), []),
        *[
            (of(PROVIDER, sshOpts=["-o", option]), [ANY_KEY])
            for option in (
                "StrictHostKeyChecking=no", "StrictHostKeyChecking off", "stricthostkeychecking=accept-new",
                "UserKnownHostsFile=/dev/null",
            )
        ],
        (of(PROVIDER, sshOpts="-oStrictHostKeyChecking=no"), [ANY_KEY]),
        (of(PROVIDER, sshOpts=["-o", "StrictHostKeyChecking=yes"]), []),
        (of("pulumi:providers:other", sshOpts="-oStrictHostKeyChecking=no"), []),
        (of(HARDENED, "web1", host_key="trusted on first use"),
         ["trusts the host key of web1 without a pinned key (trusted on first use)"]),
        (of(HARDENED, "web1", host_key="pinned"), []),
        (of(HARDENED, "web1"), []),
        (of("portcullis:index:Other", "web1", host_key="trusted on first use"), []),
    ],
)  # fmt: skip
def test_a_host_key_that_is_not_pinned(resource: Resource, said: list[str]) -> None:
    assert found("host-key-pinned", resource) == said


def test_a_host_without_an_ssh_server_is_reported() -> None:
    docker = of(PROVIDER, "web1-docker-provider", host="ssh://web1")
    said = "the host web1 has no SshServer: the default settings of the distribution allow passwords"
    assert found("host-has-ssh-policy", docker, host("SshServer", host="web2")) == [said]
    assert found("host-has-ssh-policy", docker, host("SshServer", host="web1")) == []


# --- containers


ANYWHERE = "on every address of the host, because it names no address"
SOCKET_TOO = "which contains Docker's socket"
ITSELF = "which belongs to the host itself"


def bound(source: str, target: Any = "/host") -> Resource:
    return container(mounts=[{"type": "bind", "source": source, "target": target}])


CONTAINERS: list[tuple[str, Resource, list[str]]] = [
    ("no-public-bind", container(ports=[{"internal": 80.0, "external": 81.0}]),
     [f"publishes port 81 {ANYWHERE}"]),
    ("no-public-bind", container(ports=[{"ip": EVERYWHERE, "external": 81}]),
     [f"publishes port 81 on {EVERYWHERE}"]),
    ("no-public-bind", container(ports=[{"ip": ""}]), [f"publishes port ? {ANYWHERE}"]),
    ("no-public-bind", container(ports=[{"ip": 7, "external": 1}]), ["publishes port 1 on 7"]),
    *[
        ("no-public-bind", container(ports=[{"ip": address, "external": 81.0}]), [])
        for address in ("127.0.0.1", "10.1.2.3", "172.31.255.255", "192.168.1.1", "::1", "fd00::1", UNKNOWN)
    ],
    ("no-public-bind", container(publishAllPorts=True, ports=None),
     ["publishes every port of its image on every address of the host"]),
    ("no-public-bind", container(publishAllPorts=False, ports=None), []),
    ("no-public-bind", of(SERVICE, endpointSpec={"ports": [{"publishedPort": 80.0}, UNKNOWN]}),
     [f"publishes port {port} of a Swarm service on every address" for port in ("80", "?")]),
    ("no-public-bind", of(SERVICE, endpointSpec={"ports": UNKNOWN}), []),
    ("no-public-bind", of(SERVICE, endpointSpec=UNKNOWN), []),
    ("no-public-bind", of(VOLUME, publishAllPorts=True), []),
    ("no-swarm-service", of(SERVICE), ["is a Swarm service, and no other policy can check its containers"]),
    ("no-privileged-container", container(privileged=True), ["runs privileged"]),
    *[
        ("no-privileged-container", container(securityOpts=[option]),
         [f"switches off a protection: {option}"])
        for option in (
            "seccomp=unconfined", "apparmor:unconfined", "systempaths=unconfined", "label=disable",
            "label:disable",
        )
    ],
    ("no-privileged-container", container(securityOpts=["seccomp=/etc/profile.json"]), []),
    ("no-privileged-container", container(devices=[{"hostPath": "/dev/kvm"}, {}]),
     ["gets the device /dev/kvm", "gets the device ?"]),
    ("no-privileged-container", of(SERVICE, privileged=True), []),
    *[
        ("no-docker-socket", bound(f"/srv/{name}"), [f"mounts /srv/{name} at /host"])
        for name in ("docker.sock", "containerd.sock", "podman.sock", "crio.sock")
    ],
    *[
        ("no-docker-socket", bound(folder), [f"mounts {folder} at /host, {SOCKET_TOO}"])
        for folder in ("/", "/run", "/var", "/var/run", "/run/docker", "/run/containerd", "//run/")
    ],
    *[
        ("no-docker-socket", bound(folder), [f"mounts {folder} at /host, {ITSELF}"])
        for own in (
            "/boot", "/dev", "/etc/cron.d", "/etc/docker", "/etc/pam.d", "/etc/passwd", "/etc/shadow",
            "/etc/ssh", "/etc/sudoers.d", "/etc/systemd", "/proc", "/root", "/sys", "/usr/bin", "/usr/sbin",
            "/var/lib/containerd", "/var/lib/docker",
        )
        for folder in (own, f"{own}/below")
    ],
    ("no-docker-socket", bound("/usr"), [f"mounts /usr at /host, {ITSELF}"]),
    *[("no-docker-socket", bound(folder), []) for folder in (
        "/srv", "/bootloader", "/etc/nginx", "/var/lib/mine", "data", UNKNOWN)],
    ("no-docker-socket", container(mounts=[{"type": "volume", "source": "/etc/ssh", "target": "/x"}]), []),
    ("no-docker-socket", container(volumes=[{"hostPath": "/proc", "containerPath": "/p"}]),
     [f"mounts /proc at /p, {ITSELF}"]),
    ("no-docker-socket", of(VOLUME, driverOpts={"device": "/proc"}),
     [f"mounts /proc in every container that uses it, {ITSELF}"]),
    ("no-docker-socket", of(NETWORK, driverOpts={"device": "/proc"}), []),
    ("no-docker-socket", container(mounts=[
        {"type": "volume", "target": "/d", "volumeOptions": {"driverOptions": {"device": "/proc"}}}]),
     [f"mounts /proc at /d, {ITSELF}"]),
    ("no-docker-socket", container(mounts=[{"type": "volume", "volumeOptions": UNKNOWN}]), []),
    ("no-host-network", container(networkMode="host"), ["uses the host's network (networkMode: host)"]),
    ("no-host-network", container(networksAdvanced=[{"name": "x"}, {"name": "host"}]),
     ["joins the network host"]),
    ("no-host-network", of(SERVICE, networkMode="host", networksAdvanced=[{"name": "host"}]), []),
    *[
        ("no-host-namespaces", container(**{key: "host"}), [f"shares the host's {what} ({key}: host)"])
        for key, what in (
            ("pidMode", "processes"), ("ipcMode", "shared memory"), ("usernsMode", "user ids"),
            ("cgroupnsMode", "cgroups"),
        )
    ],
    ("no-host-namespaces", of(SERVICE, pidMode="host"), []),
    *[("drop-all-capabilities", container(capabilities={"drops": [word]}), []) for word in (
        "ALL", "all", "CAP_ALL", "cap_all")],
    *[
        ("drop-all-capabilities", container(capabilities=given), ["does not drop all capabilities"])
        for given in (None, {}, {"drops": ["NET_RAW"]}, {"drops": UNKNOWN}, {"drops": [UNKNOWN]})
    ],
    ("drop-all-capabilities", container(capabilities={"drops": ["ALL"], "adds": ["B", "A"]}),
     ["gets the capabilities A, B"]),
    ("drop-all-capabilities", of(SERVICE), []),
    *[
        ("no-new-privileges", container(securityOpts=given), said)
        for given, said in (
            (["no-new-privileges"], []), (["no-new-privileges:true"], []), (["no-new-privileges=true"], []),
            (UNKNOWN, []), (None, ["lets its programs gain privileges"]),
            (["seccomp=x"], ["lets its programs gain privileges"]),
            (["no-new-privileges:false"], ["lets its programs gain privileges"]),
            (["no-new-privileges", "no-new-privileges=0"], ["lets its programs gain privileges"]),
        )
    ],
    ("no-new-privileges", of(SERVICE), []),
    *[
        ("read-only-root", container(readOnly=value), said)
        for value, said in (
            (True, []), (UNKNOWN, []),
            (False, ["can change its own programs, because its root file system is not read-only"]),
            (None, ["can change its own programs, because its root file system is not read-only"]),
        )
    ],
    ("read-only-root", of(SERVICE), []),
    *[("no-root-user", container(user=user), [f"runs as root (user {user})"]) for user in (
        "root", "0", "000", "+0", "-0", "0:1000", "root:1")],
    *[("no-root-user", container(user=user), []) for user in ("1000", "rooted", "1000:10", "10", UNKNOWN)],
    ("no-root-user", container(user="1000:0"), ["runs in root's group (user 1000:0)"]),
    ("no-root-user", container(user=None), ["runs as the user of its image, which is root in most images"]),
    ("no-root-user", of(SERVICE), []),
    *[
        ("digest-pinned-image", made, [f"names the image {name} by a tag, which the registry may change"])
        for name in ("redis:7", "redis@sha256:5f", f"{DIGEST}0")
        for made in (container(image=name), of(IMAGE, name=name))
    ],
    ("digest-pinned-image", container(image=f"a@{DIGEST}", name="b"), []),
    ("digest-pinned-image", of(IMAGE, name=f"a@{DIGEST}", image="b"), []),
    ("digest-pinned-image", of(IMAGE, name=UNKNOWN), []),
    ("digest-pinned-image", of(SERVICE, image="redis:7"), []),
    *[
        ("memory-limit", container(memory=value), said)
        for value, said in (
            (256.0, []), (UNKNOWN, []), (None, ["may use all the memory of the host"]),
            (0, ["may use all the memory of the host"]),
        )
    ],
    ("memory-limit", of(SERVICE), []),
]  # fmt: skip


@pytest.mark.parametrize(("policy", "resource", "said"), CONTAINERS)
def test_what_a_container_must_not_have(policy: str, resource: Resource, said: list[str]) -> None:
    assert found(policy, resource) == said


# --- firewall, filter and engine


UFW = "firewall-denies-by-default"


@pytest.mark.parametrize(
    ("props", "said"),
    [
        ({"enabled": False}, ["switches ufw off"]),
        ({"enabled": True}, []),
        ({"enabled": UNKNOWN, "defaults": UNKNOWN, "rules": UNKNOWN}, []),
        ({"defaults": {"incoming": "allow", "routed": "allow", "outgoing": "allow"}},
         [f"lets everything in by default ({way}: allow)" for way in ("incoming", "routed")]),
        ({"defaults": {"incoming": "reject"}}, []),
        ({"rules": {"in any": "allow"}}, ["lets everybody reach every port (rule 'in any')"]),
        ({"rules": {"in any from 192.0.2.7": "allow", "in 443/tcp": "allow", "in any (v4)": "deny"}}, []),
    ],
)  # fmt: skip
def test_a_firewall_that_opens_too_much(props: dict[str, Any], said: list[str]) -> None:
    assert found(UFW, host("UfwPolicy", **props)) == said
    assert found(UFW, host("File", **props)) == []


def test_a_host_without_firewall_or_filter_is_reported() -> None:
    def docker(alias: str) -> Resource:
        return of(PROVIDER, host=f"ssh://deploy@{alias}:2222/")

    others = (host("UfwPolicy", host="web3"), host("ForwardFilter", host="web3"))
    for policy, what in (
        ("host-has-firewall", "no firewall (UfwPolicy): every listening port is open"),
        ("host-has-filter", "no forward filter (ForwardFilter): Docker's ports bypass the firewall"),
    ):
        assert found(policy, docker("web2"), docker("web1"), *others) == [
            f"the host {alias} runs containers but has {what}" for alias in ("web1", "web2")
        ]
        assert found(policy, docker("web3"), *others) == []
        assert found(policy, of("pulumi:providers:other", host="ssh://web1")) == []


@pytest.mark.parametrize(
    ("boot", "said"), [("disabled", True), ("masked", True), ("enabled", False), (UNKNOWN, False)]
)
def test_a_filter_that_is_not_loaded_at_boot(boot: Any, said: bool) -> None:  # noqa: FBT001
    told = found("filter-closes-dockers-bypass", host("ForwardFilter", table=TABLE, boot=boot))
    assert told == (["is not loaded at boot"] if said else [])
    unknown = host("ForwardFilter", table=UNKNOWN, boot=boot)
    assert found("filter-closes-dockers-bypass", unknown) == told
    assert found("filter-closes-dockers-bypass", host("File", table="x", boot=boot)) == []


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("type filter hook forward", "any packet, because no hook calls the chain"),
        ("ct original ip daddr", "packets from outside to ports that are published for this host only"),
        (
            'meta iifkind "bridge" goto',
            "packets from containers, because no line leads to the chain containers",
        ),
    ],
)
def test_each_missing_line_of_the_filter_is_reported(line: str, what: str) -> None:
    table = "".join(text for text in TABLE.splitlines(keepends=True) if line not in text)
    told = found("filter-closes-dockers-bypass", host("ForwardFilter", table=table, boot="enabled"))
    assert f"does not stop {what}" in told
    empty = found("filter-closes-dockers-bypass", host("ForwardFilter", table="", boot="enabled"))
    assert f"does not stop {what}" in empty
    assert len(empty) > 5


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{}", ["publishes ports on every address (no `ip`) if a container names no address"]),
        ("", ["publishes ports on every address (no `ip`) if a container names no address"]),
        ('{"ip": "192.0.2.1"}', ["publishes ports on 192.0.2.1 if a container names no address"]),
        ('{"ip": "172.17.0.1"}', []),
        ("[]", ["has no settings for Docker: the file contains no JSON object"]),
        ("nonsense", []),
        ('{"ip": "127.0.0.1", "hosts": ["unix:///x", "fd://", "tcp://127.0.0.1:1", "0.0.0.0"]}',
         ["lets Docker listen on tcp://127.0.0.1:1", "lets Docker listen on 0.0.0.0"]),
        ('{"ip": "127.0.0.1", "hosts": "tcp://0.0.0.0"}', ["lets Docker listen on tcp://0.0.0.0"]),
        ('{"ip": "127.0.0.1", "iptables": false, "ip6tables": false}',
         ["switches off Docker's own isolation rules (iptables: false)",
          "switches off Docker's own isolation rules (ip6tables: false)"]),
        (UNKNOWN, []),
    ],
)  # fmt: skip
def test_docker_settings_that_open_too_much(content: Any, said: list[str]) -> None:
    policy = "docker-engine-is-private"
    assert found(policy, host("File", path="/etc/docker/daemon.json", content=content)) == said
    assert found(policy, host("File", path="/etc/other.json", content=content)) == []
    assert found(policy, host("Directory", path="/etc/docker/daemon.json", content=content)) == []


@pytest.mark.parametrize("address", ["tcp://192.0.2.1:2375", "http://192.0.2.1", "https://192.0.2.1"])
def test_docker_on_the_network_is_reported(address: str) -> None:
    policy = "docker-engine-is-private"
    said = [f"reaches Docker at {address}, which other machines can reach too"]
    assert found(policy, of(PROVIDER, host=address)) == said
    assert found(policy, of("pulumi:providers:other", host=address)) == []
    assert found(policy, of(PROVIDER, host="ssh://web1")) == []
