"""Settings of different sections may contradict each other. Each such fault has exactly one message."""

from __future__ import annotations

from typing import Any

import pytest

from portcullis.components.host.stack import load
from portcullis.config.faults import SettingsError
from tests.config.test_settings import IMAGE, KEY, smallest


def two(**sections: Any) -> dict[str, Any]:
    """Return a stack of two hosts; the first has an app with a site."""
    made = smallest()
    other = {"address": "203.0.113.11", "os": "debian-13", "hostKey": KEY}
    return made | {"hosts": {**made["hosts"], "web2": other}, "apps": {"api": app("web1")}} | sections


def app(host: str | None, **more: Any) -> dict[str, Any]:
    named = {} if host is None else {"host": host}
    return {"image": IMAGE, "port": 8080, "health": "/healthz", **named, **more}


def whole(error: SettingsError) -> list[str]:
    """Return the messages of faults without the quotes around values."""
    return [str(fault).removeprefix("portcullis:").replace('"', "") for fault in error.faults]


def found(config: dict[str, Any]) -> list[str]:
    """Return the faults of settings: path and reason, without the hint."""
    try:
        load(config)
    except SettingsError as error:
        return [text.partition("; ")[0] for text in whole(error)]
    return []


def allowed(host: str, *rules: str, **more: Any) -> dict[str, Any]:
    config = two()
    config["hosts"][host] |= {"firewall": {"allow": {rule: {} for rule in rules}}, **more}
    return config


@pytest.mark.parametrize(
    ("host", "rule", "said"),
    [
        ("web1", "22/tcp", "port 22, which is already open for the SSH server"),
        ("web1", "20:22/tcp", "port 22, which is already open for the SSH server"),
        ("web1", "22:30/tcp", "port 22, which is already open for the SSH server"),
        ("web1", "80/tcp", "port 80, which is already open for nginx"),
        ("web1", "443/tcp", "port 443, which is already open for nginx"),
        ("web2", "22/tcp", "port 22, which is already open for the SSH server"),
    ],
)
def test_a_rule_for_a_port_that_is_already_open(host: str, rule: str, said: str) -> None:
    assert found(allowed(host, rule)) == [f"hosts.{host}.firewall.allow.{rule}: covers {said}"]


@pytest.mark.parametrize(
    ("host", "rule"),
    [
        ("web1", "22/udp"),
        ("web1", "23:30/tcp"),
        ("web1", "444:500/tcp"),
        ("web2", "443/tcp"),
        ("web2", "80/tcp"),
    ],
)
def test_a_rule_for_a_free_port(host: str, rule: str) -> None:
    assert found(allowed(host, rule)) == []


def test_the_only_host_serves_every_site() -> None:
    config = smallest()
    config["hosts"]["web1"]["firewall"] = {"allow": {"443/tcp": {}}}
    said = "hosts.web1.firewall.allow.443/tcp: covers port 443, which is already open for nginx"
    assert found(config) == [said]
    config["sites"] = {"a.example.com": {"redirect": "https://b.example.com"}}
    assert found(config) == [said]
    del config["sites"]
    assert found(config) == []


def test_ssh_on_a_port_of_nginx() -> None:
    config = two()
    config["hosts"]["web2"]["port"] = 443
    assert found(config) == []
    config["hosts"]["web1"]["port"] = 443
    assert found(config) == ["hosts.web1.port: 443 is a port of nginx, which serves sites on this host"]


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"apps": {"api": app("web3")}}, ["apps.api.host: web3 is not a host of this stack"]),
        ({"apps": {"api": app("web1"), "job": app(None)}},
         ["apps.job.host: is missing"]),
        ({"stores": {"redis": {}}}, ["stores.redis.host: is missing"]),
        ({"stores": {"redis": {"host": "web3"}}}, ["stores.redis.host: web3 is not a host of this stack"]),
        ({"stores": {"redis": {"host": "web2"}}}, []),
        ({"sites": {"a.example.com": {"app": "api", "host": "web3"}}},
         ["sites.a.example.com.app: api runs on web1, not on web3",
          "sites.a.example.com.host: web3 is not a host of this stack"]),
        ({"sites": {"a.example.com": {"redirect": "https://b.example.com"}}},
         ["sites.a.example.com.host: is missing"]),
        ({"sites": {"a.example.com": {"redirect": "https://b.example.com", "host": "web2"}}}, []),
    ],
)  # fmt: skip
def test_the_host_of_an_app_or_a_store(sections: dict[str, Any], said: list[str]) -> None:
    assert sorted(found(two(**sections))) == sorted(said)


def test_with_one_host_its_name_is_optional() -> None:
    config = smallest() | {"stores": {"redis": {}}}
    config["sites"]["a.example.com"] = {"redirect": "https://b.example.com"}
    assert found(config) == []


@pytest.mark.parametrize(
    ("name", "port", "owner"),
    [("a", 22, "the SSH server"), ("a", 80, "nginx"), ("a", 443, "nginx"), ("a", 6379, "store redis")],
)
def test_a_host_port_that_is_already_used(name: str, port: int, owner: str) -> None:
    config = two(stores={"redis": {"host": "web1"}})
    config["apps"][name] = app("web1", hostPort=port)
    assert found(config) == [f"apps.{name}.hostPort: {port} is already used on web1 by {owner}"]
    config["apps"][name]["host"] = "web2"
    same = port != 6379
    assert found(config) == (
        [f"apps.{name}.hostPort: {port} is already used on web2 by {owner}"] if same else []
    )


@pytest.mark.parametrize(
    ("login", "taken"),
    [
        ({}, {22}),
        ({"port": 2222}, {2222}),
        ({"port": 2222, "bootstrap": {}}, {22, 2222}),
        ({"port": 2222, "bootstrap": {"port": 2200}}, {2200, 2222}),
    ],
)
def test_the_ports_of_ssh_include_the_bootstrap_port(login: dict[str, Any], taken: set[int]) -> None:
    for port in (22, 2200, 2222):
        config = two()
        config["hosts"]["web1"] |= login
        config["apps"]["a"] = app("web1", hostPort=port)
        said = [f"apps.a.hostPort: {port} is already used on web1 by the SSH server"]
        assert found(config) == (said if port in taken else [])


def test_the_port_of_a_store_is_its_default_or_the_declared_one() -> None:
    config = two(stores=STORES | {"redis": {"host": "web1", "hostPort": 7000}})
    for port, owner in ((27017, "store mongo"), (7000, "store redis"), (6379, None)):
        config["apps"]["a"] = app("web1", hostPort=port)
        said = f"apps.a.hostPort: {port} is already used on web1 by {owner}"
        assert found(config) == ([said] if owner else [])


STORES: dict[str, Any] = {
    "redis": {"host": "web1"},
    "mongo": {"host": "web1", "databases": {"shop": {}, "blog": {}}},
}


@pytest.mark.parametrize(
    ("stores", "use", "host", "said"),
    [
        (STORES, "redis", "web1", None),
        (STORES, "mongo.shop", "web1", None),
        (STORES, "mongo.other", "web1",
         "mongo.other is not an app or a store of this stack; did you mean mongo.shop?"),
        (STORES, "redis", "web2", "redis runs on web1; an app on web2 can only use apps and stores on web2"),
        (STORES, "mongo.blog", "web2",
         "mongo.blog runs on web1; an app on web2 can only use apps and stores on web2"),
        ({}, "mongo.shop", "web1",
         "mongo.shop is not an app or a store of this stack; declare the store: portcullis:stores"),
        ({"mongo": {"host": "web1", "databases": {}}}, "mongo.shop", "web1",
         "mongo.shop is not an app or a store of this stack; declare the store: portcullis:stores"),
    ],
)  # fmt: skip
def test_the_stores_that_an_app_uses(stores: dict[str, Any], use: str, host: str, said: str | None) -> None:
    config = two(stores=stores)
    config["apps"]["job"] = app(host, uses=[use], hostPort=9000)
    try:
        load(config)
        told = []
    except SettingsError as error:
        told = whole(error)
    assert [text.removeprefix("apps.job.uses[0]: ") for text in told] == ([] if said is None else [said])


def using(**uses: list[str]) -> dict[str, Any]:
    """Return a stack of apps on web1, with what each uses. Each has a port."""
    apps = {name: app("web1", uses=used) for name, used in uses.items()}
    return two(apps={"api": app("web1"), **apps}, stores=STORES)


def test_apps_use_apps_and_each_circle_is_one_fault() -> None:
    assert found(using(web=["api", "redis"], job=["web", "api", "mongo.shop"])) == []
    assert found(using(api=["api"])) == ["apps.api.uses[0]: api leads back to the app itself: api uses api"]
    assert found(using(a=["api", "b"], b=["redis", "c"], c=["a"], d=["a"])) == [
        "apps.a.uses[1]: b leads back to the app itself: a uses b uses c uses a"
    ]
    assert found(using(a=["b"], b=["a"], c=["d"], d=["c"])) == [
        "apps.a.uses[0]: b leads back to the app itself: a uses b uses a",
        "apps.c.uses[0]: d leads back to the app itself: c uses d uses c",
    ]


def test_an_app_may_be_called_mongo_where_no_store_is() -> None:
    assert found(two(apps={"api": app("web1", uses=["mongo"]), "mongo": app("web1")})) == []


def test_a_used_app_has_a_port_and_runs_on_the_same_host() -> None:
    config = using(web=["job", "far"])
    config["apps"] |= {"far": app("web2"), "job": {"image": IMAGE, "healthCommand": ["true"], "host": "web1"}}
    assert found(config) == [
        "apps.web.uses[0]: job has no port that apps could reach",
        "apps.web.uses[1]: far runs on web2",
    ]


def test_a_used_app_takes_the_names_of_its_releases() -> None:
    config = using(web=["job"], job=[])
    config["apps"]["job-3"] = app("web1")
    (fault,) = found(config)
    assert fault.startswith("apps.job")
    config["apps"]["web"] = app("web1")
    assert found(config) == []


def test_the_address_pools_have_room_for_each_network() -> None:
    """Three apps, two stores with two each, and the pairs: api.redis, api.mongo, job.mongo, job.api."""
    config = using(api=["redis", "mongo.shop", "mongo.blog"], job=["mongo.blog", "api"], web=[])
    engine = config["hosts"]["web1"]["dockerEngine"] = {"addressPools": [{"base": "10.9.0.0/20"}]}
    assert found(config) == []
    engine["addressPools"] = [{"base": "10.9.0.0/21"}]
    (fault,) = found(config)
    for wrong in (999_999_999_999, "x", 8, True, -5):
        config["hosts"]["web1"]["dockerEngine"] = {"addressPools": [{"base": "10.9.0.0/21", "size": wrong}]}
        told = found(config)
        assert told
        assert all(text.startswith("hosts.web1.dockerEngine.addressPools[0].size: ") for text in told)
    path, what, _why = fault.split(": ")
    assert path == "hosts.web1.dockerEngine.addressPools"
    assert what == "has room for 8 networks, but this host needs 11"


def test_a_wrong_use_does_not_hide_others() -> None:
    config = two(stores={"redis": {"host": "web1"}})
    config["apps"]["job"] = app("web1", uses=["mongo", 3, "mongo.shop", "redis"], hostPort=9000)
    config["apps"]["redis"] = app("web1", hostPort=9001)
    assert sorted(found(config)) == [
        "apps.job.uses[0]: mongo is not an app or a store of this stack",
        "apps.job.uses[1]: 3 is not an app or a store",
        "apps.job.uses[2]: mongo.shop is not an app or a store of this stack",
        "apps.redis: is also the name of a store",
    ]


def test_a_wrong_secret_does_not_hide_others() -> None:
    config = two()
    config["apps"]["job"] = app("web1", secrets=[3, "redis_x", "mongo_x", "key"], hostPort=9000)
    assert found(config) == [
        "apps.job.secrets[0]: 3 is not a name for a secret",
        "apps.job.secrets[1]: redis_x is a file name that the stores use",
        "apps.job.secrets[1]: redis_x is not a secret of this stack",
        "apps.job.secrets[2]: mongo_x is a file name that the stores use",
        "apps.job.secrets[2]: mongo_x is not a secret of this stack",
        "apps.job.secrets[3]: key is not a secret of this stack",
    ]


WRONG_FORM: list[tuple[dict[str, Any], list[str]]] = [
    ({"tunnels": {"alice": {"to": [3]}}}, ["tunnels.alice.to[0]: 3 is not a name for a store"]),
    ({"tunnels": {"alice": {"to": [["redis"]]}}},
     ["tunnels.alice.to[0]: [redis] is not a name for a store"]),
    ({"apps": {"api": app("web1", uses=[["x"]], secrets=[["y"]])}},
     ["apps.api.uses[0]: [x] is not an app or a store",
      "apps.api.secrets[0]: [y] is not a name for a secret"]),
    ({"stores": {"redis": {"host": 3}}, "tunnels": {"alice": {"to": ["redis"]}}},
     ["stores.redis.host: 3 is not a name for a host"]),
    ({"apps": {"api": app("web1"), "b": app(None)}, "sites": {"a.example.com": {"app": "b", "host": "web1"}}},
     ["apps.b.host: is missing"]),
    ({"sites": {"a.example.com": {"app": "x", "paths": {"/x/": "y", "/y/": "api"}}}},
     ["sites.a.example.com.app: x is not an app of this stack",
      "sites.a.example.com.paths./x/: y is not an app of this stack"]),
]  # fmt: skip


@pytest.mark.parametrize(("sections", "said"), WRONG_FORM)
def test_a_wrong_type_or_a_missing_host_is_one_fault(sections: dict[str, Any], said: list[str]) -> None:
    assert found(two(**sections)) == said


def test_a_wrong_port_is_one_fault() -> None:
    config = allowed("web1", "443/tcp", "x:y/tcp", "443:y/tcp", "1:/tcp", port="ssh")
    assert found(config) == [
        "hosts.web1.port: ssh is not a port",
        "hosts.web1.firewall.allow.x:y/tcp: x:y/tcp is not a port with its protocol",
        "hosts.web1.firewall.allow.443:y/tcp: 443:y/tcp is not a port with its protocol",
        "hosts.web1.firewall.allow.1:/tcp: 1:/tcp is not a port with its protocol",
        "hosts.web1.firewall.allow.443/tcp: covers port 443, which is already open for nginx",
    ]
    assert found(allowed("web2", "443/tcp", port=443)) == [
        "hosts.web2.firewall.allow.443/tcp: covers port 443, which is already open for the SSH server"
    ]
    config = two()
    config["hosts"]["web1"]["firewall"] = {"public": {"22/tcp": {}}}
    assert found(config) == [
        "hosts.web1.firewall.public.22/tcp: covers port 22, which is already open for the SSH server"
    ]


def test_an_sshd_option_that_refuses_the_preview_account() -> None:
    config = two()
    config["hosts"]["web1"]["ssh"] = {"options": {"AllowUsers": "root"}}
    config["hosts"]["web2"]["preview"] = {}
    assert found(config) == []
    config["hosts"]["web1"]["preview"] = {}
    assert found(config) == [
        "hosts.web1.ssh.options.AllowUsers: refuses portcullis-preview, which is declared to preview"
    ]


@pytest.mark.parametrize(
    ("databases", "hint"),
    [({"shop": {}, "blog": {}}, "write one of mongo.shop, mongo.blog"), ({}, "declare one")],
)
def test_an_app_that_uses_mongodb_and_no_database(databases: dict[str, Any], hint: str) -> None:
    config = two(stores={"mongo": {"host": "web1", "databases": databases}})
    config["apps"]["job"] = app("web1", uses=["mongo"], hostPort=9000)
    with pytest.raises(SettingsError) as caught:
        load(config)
    assert f"apps.job.uses[0]: mongo names no database; {hint}" in whole(caught.value)


@pytest.mark.parametrize(
    ("apps", "site", "said"),
    [
        ({}, {"app": "ap"}, ["app: ap is not an app of this stack"]),
        ({"b": app("web1", port=None)}, {"app": "b"}, ["app: b has no port that nginx could reach"]),
        ({"b": app("web2")}, {"app": "api", "paths": {"/b/": "b"}},
         ["paths./b/: b runs on web2, but the site's other app runs on web1"]),
        ({}, {"app": "api", "host": "web2"}, ["app: api runs on web1, not on web2"]),
        ({}, {"app": "api", "host": "web1"}, []),
    ],
)  # fmt: skip
def test_the_apps_that_a_site_names(apps: dict[str, Any], site: dict[str, Any], said: list[str]) -> None:
    config = two()
    for name, entry in apps.items():
        config["apps"][name] = {key: value for key, value in entry.items() if value is not None}
        if "port" not in config["apps"][name]:
            config["apps"][name] = {"image": IMAGE, "healthCommand": ["/ok"], "host": "web1"}
    config["sites"] = {"a.example.com": site}
    assert found(config) == [f"sites.a.example.com.{text}" for text in said]


@pytest.mark.parametrize(("host", "fits"), [("web1", True), ("web2", False)])
def test_a_site_is_served_by_the_host_of_its_app(host: str, fits: bool) -> None:  # noqa: FBT001
    config = two(apps={"api": app(host)})
    config["hosts"]["web2"]["os"] = "ubuntu-22.04"
    said = "sites.api.example.com: cannot be served by web2, which runs ubuntu-22.04: its nginx 1.18"
    told = found(config)
    assert (told == []) if fits else any(text.startswith(said) for text in told)


def test_the_stores_and_accounts_of_tunnels() -> None:
    person = {"to": ["redis", "kafka"]}
    config = two(stores={"redis": {"host": "web1"}}, tunnels={"alice": person})
    config["hosts"]["web2"]["users"] = {"tunnel-bob": {"keys": {"a": KEY}}}
    assert sorted(found(config)) == [
        "hosts.web2.users.tunnel-bob: begins with tunnel-, which only tunnel accounts may",
        "tunnels.alice.to[1]: kafka is not a store of this stack",
    ]
    del config["tunnels"]
    assert found(config) == []


def test_sshd_must_admit_tunnels_on_the_hosts_that_they_reach() -> None:
    config = two(stores={"redis": {"host": "web1"}}, tunnels={"alice": {"to": ["redis"]}})
    for host in config["hosts"].values():
        host["ssh"] = {"options": {"AllowUsers": "root"}}
    (said,) = found(config)
    assert said.startswith("hosts.web1.ssh.options.AllowUsers: ")
    config["hosts"]["web2"]["preview"] = {}
    assert len(found(config)) == 2


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (None, ["stores.redis.image: defaults to a tag, but images.digests is required"]),
        ("redis:8", ["stores.redis.image: redis:8 is a tag, but images.digests is required"]),
        (IMAGE, []),
        (3, ["stores.redis.image: 3 is not an image"]),
    ],
)
def test_the_image_of_a_store_without_a_digest(image: Any, said: list[str]) -> None:
    store = {} if image is None else {"image": image}
    assert found(smallest() | {"images": {"digests": "required"}, "stores": {"redis": store}}) == said


def test_a_missing_image_is_no_missing_digest() -> None:
    config = smallest() | {"images": {"digests": "required"}}
    del config["apps"]["api"]["image"]
    assert found(config) == ["apps.api.image: is missing"]


@pytest.mark.parametrize(
    ("policy", "image", "said"),
    [
        ("required", "redis:8", ["apps.api.image: redis:8 is a tag, but images.digests is required"]),
        ("required", IMAGE, []),
        ("optional", "redis:8", None),
    ],
)
def test_images_without_a_digest(policy: str, image: str, said: list[str] | None) -> None:
    config = smallest() | {"images": {"digests": policy}}
    config["apps"]["api"]["image"] = image
    told = found(config)
    assert told == said if said is not None else not any("digests is required" in text for text in told)
