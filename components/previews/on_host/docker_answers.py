"""Pure functions that remove from Docker's answers everything that may be a secret.

If the stack declares a container, the answer shows all its properties, because a refresh compares them. Of
any other container, the answer shows only the name, image and state. The environment, command line, labels or
log options of such a container may hold a password. The host does not know which networks and volumes the
stack declares. So an answer hides the labels and options of all networks and volumes, except for Docker's own
and the label that names the stack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portcullis.components.containers.facts import OWNER_LABEL

if TYPE_CHECKING:
    from portcullis.agent.step import Json

HIDDEN = "[not shown to the preview key]"
_DOCKERS = "com.docker."
_INSPECTED = ("Id", "Name", "Created", "Image", "Platform", "RestartCount", "Driver")
_LISTED = ("Id", "Names", "Image", "ImageID", "Created", "State", "Status", "Ports", "NetworkSettings")


def scrubbed(question: str, answer: Any, shown: set[str]) -> Any:
    """Docker's answer to a request, without anything that may be a secret.

    Args:
        question: the path of the request, without version and query.
        answer: Docker's answer.
        shown: ids or names of the containers that the stack declares and that hold no secret.
    """
    what = question.split("/")[1]
    if isinstance(answer, list):
        return _each(what, answer, shown)
    if not isinstance(answer, dict):
        return {}
    if what == "containers":
        return _container(answer, shown)
    if what == "version":
        return answer
    known = {"images": _image, "networks": _network, "volumes": _volumes}
    return known[what](answer) if what in known else {}


def _each(what: str, answers: list[Any], shown: set[str]) -> list[Any]:
    if what == "containers":
        return [_listed(one, shown) for one in answers]
    if what == "images":
        return list(map(_image, answers))
    return list(map(_network, answers)) if what == "networks" else []


def _container(found: Json, shown: set[str]) -> Json:
    state = {key: value for key, value in (found.get("State") or {}).items() if key != "Health"}
    health = (found.get("State") or {}).get("Health")
    if health:
        # The log has the output of the app's health check, which may hold a secret.
        state["Health"] = {
            "Status": health.get("Status"),
            "FailingStreak": health.get("FailingStreak"),
            "Log": [],
        }
    if {str(found.get("Name", "")).lstrip("/"), str(found.get("Id"))} & shown:
        return {**found, "State": state}
    # An error at the start may quote the command line, which may hold a secret.
    state["Error"] = ""
    config = found.get("Config") or {}
    return {
        **{key: found[key] for key in _INSPECTED if key in found},
        "State": state,
        "Args": [],
        "Path": HIDDEN,
        "Config": {
            "Image": config.get("Image"),
            "Env": _names(config.get("Env")),
            "Cmd": [HIDDEN],
            "Labels": {},
        },
        "HostConfig": {"NetworkMode": (found.get("HostConfig") or {}).get("NetworkMode", "")},
        "NetworkSettings": {"Networks": {}, "Ports": {}},
        "Mounts": [],
    }


def _names(env: Any) -> list[str]:
    return [f"{str(entry).partition('=')[0]}={HIDDEN}" for entry in env or []]


def _listed(found: Json, shown: set[str]) -> Json:
    if {str(found.get("Id")), *(str(name).lstrip("/") for name in found.get("Names") or [])} & shown:
        return found
    return {**{key: found[key] for key in _LISTED if key in found}, "Command": HIDDEN, "Labels": {}}


def _image(found: Json) -> Json:
    """Return an image without its settings for containers and without details of its build."""
    left_out = ("Config", "ContainerConfig", "Comment", "Author", "Labels")
    kept = {key: value for key, value in found.items() if key not in left_out}
    return {**kept, "Config": {}} if "Config" in found else {**kept, "Labels": {}}


def _volumes(found: Json) -> Json:
    if "Volumes" in found:
        return {**found, "Volumes": list(map(_volume, found["Volumes"] or []))}
    return _volume(found)


def _volume(found: Json) -> Json:
    """Return a volume without the values of its options, which may hold the password of a network share."""
    options = found.get("Options")
    kept = {key: value for key, value in found.items() if key not in ("Options", "Status")}
    hidden = dict.fromkeys(options, HIDDEN) if options else options
    return _with_closed(kept, "Labels") | {"Options": hidden}


def _network(found: Json) -> Json:
    """Return a network with only Docker's own options, because others may hold a secret of a network driver.

    A refresh needs two of Docker's own options: the name of the bridge, and the address for ports.
    """
    kept = _with_closed(found, "Labels", "Options")
    return {**kept, "IPAM": _with_closed(found["IPAM"], "Options")} if found.get("IPAM") else kept


def _with_closed(found: Json, *maps: str) -> Json:
    """Hide the values in these maps, except for Docker's own keys and the label that names the stack."""
    closed = {
        name: {
            key: value if key.startswith(_DOCKERS) or key == OWNER_LABEL or not value else HIDDEN
            for key, value in pairs.items()
        }
        for name in maps
        if (pairs := found.get(name))
    }
    return {**found, **closed}
