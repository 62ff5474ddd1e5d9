"""One OpenSSH client process per host, which exchanges JSON lines with the agent. The agent runs as root.

All threads of the provider share the process. Each thread sends a request with a number and waits for the
answer with that number. The process is also the master of the shared connection, so that pulumi-docker's own
ssh processes use the same connection. The ssh process ends when its standard input closes, which also happens
if the provider is killed. The agent ends together with the ssh process.
"""

from __future__ import annotations

import contextlib
import getpass
import itertools
import os
import subprocess
import threading
import time
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from portcullis.agent.redaction import AT_ONCE, PROTOCOL, READ_ONLY
from portcullis.host import answers
from portcullis.host.agent_process import ALONE, AgentProcess, Json
from portcullis.host.bootstrap import install_python_command
from portcullis.host.connections import (
    BOOTSTRAP_SUFFIX,
    STRICT_SUFFIX,
    declared_os,
    declared_port,
    declared_user,
    dials_several,
    has_two_families,
    missing_identity,
    only_looks,
    remember_port,
    set_port,
    ssh_config_path,
)
from portcullis.host.dial import ELSEWHERE
from portcullis.host.errors import (
    AgentRefused,
    ConnectionFailed,
    HostError,
    LoginRefused,
    OtherSystem,
    PythonMissing,
    Subject,
    TimedOut,
    Unreachable,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

OPEN_TIMEOUT = 60.0
READ_TIMEOUT = 120.0
WRITE_TIMEOUT = 1200.0  # apt on a slow mirror
_INSTALL_TIMEOUT = 600.0
_IDENTITY = "correct identityFile of the host; in a program of your own it is identity_file"
_LOGIN_TIMEOUT = 40.0
_CANCELLED = "the deploy has been cancelled"
_REFUSAL_HOLDS = 60.0
"""Seconds before an unreachable host is tried again; otherwise each of hundreds of resources would wait."""


class Channel(Protocol):
    """Answers requests to a host: a session, or recorded answers in tests."""

    def request(self, op: str, *, timeout: float, write: bool = False, **arguments: Any) -> Json:
        """Send one request and return the agent's result. Raises HostError."""
        ...

    def families_in_use(self) -> Sequence[tuple[str, ...]]:
        """Return the address families over which the host is reachable now."""
        ...

    def log_in_again(self, op: str, login: Login, **arguments: Any) -> Json:
        """Send one request over a new connection and return the agent's result. Raises HostError."""
        ...

    def reached(self, port: int) -> None:
        """Store the port on which the host listens from now on."""
        ...


@dataclass(frozen=True, slots=True)
class Login:
    """A login that must work after a change.

    Attributes:
        declared: whether to log in as the declared user, even if the session uses another user.
        port: the only port to try, with the declared user; None for the ports of the alias.
    """

    declared: bool = False
    port: int | None = None


class Session:
    """A connection to one host. The first request opens it. If a read finds it broken, it is reopened once.

    Thread-safe. `requests` and `connections` count requests and connections, for tests and `make bench`.
    """

    def __init__(self, host: str, stack: str, *, project: Path | None = None) -> None:
        self.host = host
        self.requests = 0
        self.connections = 0
        self._project = project or Path.cwd()
        self._config = ssh_config_path(stack)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._process: AgentProcess | None = None
        self._opening: AgentProcess | None = None
        self._refused: tuple[float, ConnectionFailed] | None = None
        self._alias = host
        self._families: list[tuple[str, ...]] | None = None
        self._system = threading.Lock()
        self._system_is_right = False
        self._closed = False
        # Requests wait here for a free worker of the agent. Their time limit starts only after that.
        self._turns = threading.BoundedSemaphore(AT_ONCE)

    def request(
        self, op: str, *, timeout: float = READ_TIMEOUT, write: bool = False, **arguments: Any
    ) -> Json:
        """Send one request and return the agent's result.

        Args:
            op: an operation of the agent.
            timeout: seconds to wait for the answer. After this time, the session is closed unless other
                requests still wait.
            write: whether the operation changes the host. Such an operation is never sent twice, and may
                install python3 first.
            arguments: the operation's own fields.

        Raises:
            ConnectionFailed: the session did not open, or it broke.
            TimedOut: no answer came in time. Only the next read shows whether the agent has finished the
                operation.
            AgentRefused: the agent refused or failed.
            OtherSystem: the host runs another operating system than the declared one.
        """
        try:
            if write:
                self._assert_may_write()
                self._assert_system()
            result = self._request(op, timeout, write, arguments)
            _assert_protocol(result)
            result = answers.check(op, result)
            if result.get("host"):
                self._compare_system(result["host"]["os"])
        except HostError as error:
            raise error.about(Subject(self.host)) from None
        return result

    def log_in_again(self, op: str, login: Login, **arguments: Any) -> Json:
        """Log in over a new connection for each address family in use, and send the request over the last.

        Args:
            op: an operation of the agent.
            login: the user and port to log in with.
            arguments: the operation's own fields.

        Returns:
            The answer to the request. On the other connections only the login counts.

        Raises:
            ConnectionFailed: a login did not work.
            TimedOut: no answer came in time.
            AgentRefused: the agent refused or failed.
        """
        families = self.families_in_use()
        for family in families[:-1]:
            self._log_in_alone(login, family, "hello", {})
        answer = self._log_in_alone(login, families[-1], op, arguments)
        if login.declared or login.port:
            self._alias = self.host  # the host may refuse the bootstrap login from now on
            self._is_first_contact(now=False)
        return answer

    def reached(self, port: int) -> None:
        """Store the port on which a login has just worked, also for the next run."""
        remember_port(self._project / self._config, self.host, port)
        set_port(self._project / self._config, self.host, port)

    def _log_in_alone(self, login: Login, family: tuple[str, ...], op: str, arguments: Json) -> Json:
        alias = self.host if login.declared or login.port else self._alias
        options = [*ALONE, *family]
        if login.port:
            text = (self._project / self._config).read_text()
            alias = self.host + STRICT_SUFFIX if f"\nHost {self.host}{STRICT_SUFFIX}\n" in text else self.host
            options += ["-o", f"Port={login.port}"]
        process = AgentProcess(alias, self._config, self._project, options)
        try:
            answer = process.post({"id": 0, "op": op, **arguments})
            process.wait_ready(_LOGIN_TIMEOUT)
            return answers.check(op, _result(answer.result(_LOGIN_TIMEOUT)))
        except FutureTimeout:
            raise TimedOut(
                f"a fresh login to the host gave no answer within {_LOGIN_TIMEOUT:.0f} s"
            ) from None
        finally:
            process.close()

    def families_in_use(self) -> list[tuple[str, ...]]:
        """Return ssh's option for each address family that works from this machine.

        A host name may have addresses of both families. The check runs once, before the first change.
        """
        if self._families is None:
            both = has_two_families((self._project / self._config).read_text(), self._alias)
            found: list[tuple[str, ...]] = []
            for family in (("-4",), ("-6",)) if both else ():
                with contextlib.suppress(HostError):
                    self._log_in_alone(Login(), family, "hello", {})
                    found.append(family)
            self._families = found or [()]
        return self._families

    def close(self) -> None:
        """End the session for good. The agent finishes running operations and then ends."""
        self._closed = True
        if opening := self._opening:
            opening.kill()  # the thread that opens the session has the lock until ssh ends
        with self._lock:
            process, self._process = self._process, None
        if process:
            process.close()

    def _assert_may_write(self) -> None:
        """Refuse a change with the preview key before it reaches the host, which would refuse it as well."""
        config = self._project / self._config
        if config.exists() and only_looks(config.read_text(), self.host):
            raise AgentRefused(
                READ_ONLY,
                "the preview key may only read, but this operation changes the host",
                hint="unset PORTCULLIS_ACCESS and use the deploy key",
            )

    def _assert_system(self) -> None:
        """Check the operating system before the first change, because a first `up` has read nothing yet."""
        with self._system:
            if not self._system_is_right and self._declared_system():
                said = answers.check("hello", self._request("hello", READ_TIMEOUT, True, {}))  # noqa: FBT003
                self._compare_system(said["os"])
            self._system_is_right = True

    def _compare_system(self, found: str) -> None:
        declared = self._declared_system()
        if declared and declared != found:
            raise OtherSystem(
                f"the host runs {found}, but the settings declare {declared}",
                prop="os",
                hint=f"write os: {found} for this host: some files that Portcullis writes depend on the "
                "system",
            )

    def _declared_system(self) -> str | None:
        config = self._project / self._config
        return declared_os(config.read_text(), self.host) if config.exists() else None

    def _request(self, op: str, timeout: float, write: bool, arguments: Json) -> Json:  # noqa: FBT001
        for attempt in (1, 2):
            number = next(self._numbers)
            self.requests += 1
            with self._turns:
                process, answer = self._post({"id": number, "op": op, **arguments}, write=write)
                try:
                    return _result(answer.result(timeout))
                except FutureTimeout:
                    # Keep the session if other threads still wait, for example for a slow installation.
                    if process.abandon(number):
                        self._forget(process)
                    raise TimedOut(
                        f"the host gave no answer to the request {op!r} within {timeout:.0f} s",
                        hint="check whether the host is overloaded, then run the command again",
                    ) from None
                except ConnectionFailed:
                    self._forget(process)
                    # A read can be repeated. A write may have happened already, so a person must decide.
                    if write or attempt == 2:  # noqa: PLR2004
                        raise
        raise AssertionError("unreachable")  # pragma: no cover

    def _post(self, message: Json, *, write: bool) -> tuple[AgentProcess, Future[Json]]:
        """Send a request to the open process, or open a process with this request."""
        with self._lock:
            if self._closed:
                raise ConnectionFailed(_CANCELLED)
            if self._process is None or self._process.ended:
                if self._refused and time.monotonic() < self._refused[0] + _REFUSAL_HOLDS:
                    raise self._refused[1].again()
                try:
                    self._process, answer = self._open(message, write=write)
                except PythonMissing:
                    raise
                except ConnectionFailed as error:
                    self._refused = time.monotonic(), error
                    raise error.again() from None
            else:
                answer = self._process.post(message)
            return self._process, answer

    def _forget(self, process: AgentProcess) -> None:
        with self._lock:
            if self._process is process:
                self._process = None
        process.close()

    def _open(self, first: Json, *, write: bool) -> tuple[AgentProcess, Future[Json]]:
        config = self._project / self._config
        if not config.exists():
            raise ConnectionFailed(
                f"the file {self._config} is missing, so the address of the host is unknown",
                hint="run `portcullis preview` once, which writes this file; a destroy and an import need "
                "the file "
                "before the program runs",
            )
        aliases = [self.host]
        text = config.read_text()
        if f"\nHost {self.host}\n" not in text:
            raise ConnectionFailed(
                f"the settings declare no host with the alias {self.host}",
                hint="add the host under portcullis:hosts",
            )
        if f"\nHost {self.host}{BOOTSTRAP_SUFFIX}\n" in text:
            aliases.append(self.host + BOOTSTRAP_SUFFIX)
            if self._first_contact.exists():
                aliases.reverse()
        failures: dict[str, HostError] = {}
        for alias in aliases:
            try:
                started = self._start(alias, first, write=write)
            except Unreachable as error:
                failures[alias] = error
            except LoginRefused as error:
                # If a key file is missing, ssh itself continues without it, and only the login fails.
                lost = missing_identity(text, alias)
                absent = LoginRefused(f"the key {lost} does not exist on this machine", hint=_IDENTITY)
                failures[alias] = absent if lost else error
            else:
                self._is_first_contact(now=alias != self.host)
                return started
        raise failures[self.host]

    @property
    def _first_contact(self) -> Path:
        """The file that exists if the last session needed the bootstrap login."""
        return (self._project / self._config).with_name(f"{self.host}.first-contact")

    def _is_first_contact(self, *, now: bool) -> None:
        """Remember whether the bootstrap login was needed.

        fail2ban counts each login as a user that does not exist yet, so the next session tries the bootstrap
        login first.
        """
        with contextlib.suppress(OSError):  # the file only saves a failed login
            if now:
                self._first_contact.touch()
            else:
                self._first_contact.unlink(missing_ok=True)

    def _start(self, alias: str, first: Json, *, write: bool) -> tuple[AgentProcess, Future[Json]]:
        for attempt in (1, 2):
            self.connections += 1
            process = self._opening = AgentProcess(alias, self._config, self._project)
            try:
                if self._closed:
                    raise ConnectionFailed(_CANCELLED)
                # Send the request before the host answers, which saves a round trip. An agent that does not
                # start does not read it, so it is safe to send the request again to the next alias.
                answer = process.post(first)
                process.wait_ready(OPEN_TIMEOUT)
            except PythonMissing:
                process.close()
                if not write or attempt == 2:  # noqa: PLR2004
                    raise
                self._install_python(alias)
            except HostError:
                process.close()
                raise
            else:
                self._remember_login(alias, process)
                return process, answer
            finally:
                self._opening = None
        raise AssertionError("unreachable")  # pragma: no cover

    def _remember_login(self, alias: str, process: AgentProcess) -> None:
        """Store the alias with which the login worked.

        If the login worked on the declared port, do not try other ports again.
        """
        self._alias = alias
        config = self._project / self._config
        if alias == self.host and ELSEWHERE not in process.said and dials_several(config, alias):
            self.reached(declared_port(config.read_text(), alias))

    def _install_python(self, alias: str) -> None:
        argv = ["ssh", "-F", str(self._config), "-T", alias, install_python_command()]
        try:
            done = subprocess.run(
                argv, cwd=self._project, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                errors="replace", timeout=_INSTALL_TIMEOUT, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise TimedOut(f"installing python3 took longer than {_INSTALL_TIMEOUT:.0f} s") from None
        if done.returncode:
            raise PythonMissing(
                "python3 is missing, and apt could not install it",
                detail="\n".join((done.stdout + done.stderr).splitlines()[-10:]),
                hint="install python3 on the host by hand, then run again",
            )


def _assert_protocol(result: Json) -> None:
    """Refuse an agent with another protocol.

    Only a preview can find such an agent, because a deploy sends its own agent.
    """
    found = result.get("protocol", PROTOCOL)
    if found != PROTOCOL:
        raise AgentRefused(
            "version",
            f"the host has an agent of another version: protocol {found}, but {PROTOCOL} is needed",
            hint="preview with the Portcullis version that deployed last, or deploy with this version first",
        )


def _result(answer: Json) -> Json:
    if not answer.get("ok"):
        raise refusal(answer.get("error"))
    result = answer.get("result")
    if not isinstance(result, dict):
        raise ConnectionFailed(
            "the answer does not come from an agent of this version: the result is not a map"
        )
    return result


def refusal(error: object) -> AgentRefused:
    """Turn the agent's error object into an exception. A host is not trusted to send a valid error."""
    said = error if isinstance(error, dict) else {}
    return AgentRefused(
        str(said.get("code", "internal")),
        str(said.get("message", "the agent failed")),
        hint=str(said.get("hint", "")),
        prop=str(said.get("property", "")),
        detail=str(said.get("detail", "")),
    )


_sessions: dict[tuple[Path, str, str], Session] = {}
_sessions_lock = threading.Lock()


def session(host: str, stack: str) -> Session:
    """Return this process's session with a host of a stack. The first request opens the session.

    Args:
        host: the alias.
        stack: the stack's name. Its `ssh_config` has the address of the host.
    """
    key = (Path.cwd(), stack, host)
    with _sessions_lock:
        if key not in _sessions:
            _sessions[key] = Session(host, stack)
        return _sessions[key]


def declared_login(host: str, stack: str) -> str:
    """Return the user that the settings declare for a host; "" if there is no `ssh_config` yet."""
    config = Path.cwd() / ssh_config_path(stack)
    return declared_user(config.read_text(), host) if config.exists() else ""


def close_sessions() -> None:
    """End every session of this process in parallel, because each may take a few seconds."""
    with _sessions_lock:
        closing = [threading.Thread(target=one.close) for one in _sessions.values()]
    for thread in closing:
        thread.start()
    for thread in closing:
        thread.join()


def who() -> str:
    """Return the user, machine and process of this deploy, for the message that a second deploy gets."""
    user = os.environ.get("GITHUB_ACTOR") or _login() or str(os.getuid())
    return f"{user}@{os.uname().nodename} (pid {os.getpid()})"


def _login() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # in a container, the user may have no name
        return None
