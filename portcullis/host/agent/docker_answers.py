"""What Docker says, without what may be a secret. Pure.

A container that the stack declares is shown as a refresh reads it. Of any other only what it is called, runs
and is doing: root may have given it a password in its environment, command line, labels or log options.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from portcullis.host.agent.step import Json

HIDDEN = "[not shown to the preview key]"
_INSPECTED = ("Id", "Name", "Created", "Image", "Platform", "RestartCount", "Driver")
_LISTED = ("Id", "Names", "Image", "ImageID", "Created", "State", "Status", "Ports", "NetworkSettings")


def scrubbed(question: str, answer: Any, shown: set[str]) -> Any:
    """Docker's answer to a question, with nothing in it that may be a secret.

    Args:
        question: the path, without version and query.
        answer: what Docker answered.
        shown: names of the containers that the stack declares with nothing secret in them.
    """
    what = question.split("/")[1]
    if isinstance(answer, list):
        return _each(what, answer, shown)
    if not isinstance(answer, dict):
        return {}
    if what == "containers":
        return _container(answer, shown)
    if what == "images":
        return _image(answer)
    if what == "volumes":
        return _volumes(answer)
    return answer if what in ("networks", "version") else {}


def _each(what: str, answers: list[Any], shown: set[str]) -> list[Any]:
    if what == "containers":
        return [_listed(one, shown) for one in answers]
    if what == "images":
        return list(map(_image, answers))
    return answers if what == "networks" else []


def _container(found: Json, shown: set[str]) -> Json:
    state = {key: value for key, value in (found.get("State") or {}).items() if key != "Health"}
    health = (found.get("State") or {}).get("Health")
    if health:
        # What a check printed is the app's own words.
        state["Health"] = {
            "Status": health.get("Status"),
            "FailingStreak": health.get("FailingStreak"),
            "Log": [],
        }
    if str(found.get("Name", "")).lstrip("/") in shown:
        return {**found, "State": state}
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
    if {str(name).lstrip("/") for name in found.get("Names") or []} & shown:
        return found
    return {**{key: found[key] for key in _LISTED if key in found}, "Command": HIDDEN, "Labels": {}}


def _image(found: Json) -> Json:
    """Without what it sets for its containers, and how it was built."""
    left_out = ("Config", "ContainerConfig", "Comment", "Author", "Labels")
    kept = {key: value for key, value in found.items() if key not in left_out}
    return {**kept, "Config": {}} if "Config" in found else {**kept, "Labels": {}}


def _volumes(found: Json) -> Json:
    if "Volumes" in found:
        return {**found, "Volumes": list(map(_volume, found["Volumes"] or []))}
    return _volume(found)


def _volume(found: Json) -> Json:
    """Options may hold the password of a share."""
    options = found.get("Options")
    kept = {key: value for key, value in found.items() if key not in ("Options", "Status")}
    return {**kept, "Options": dict.fromkeys(options, HIDDEN) if options else options}
