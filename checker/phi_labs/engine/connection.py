"""The connection to a container engine: deadlines, errors of ours, removals one after the other."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import docker
import docker.errors
import docker.utils
import requests.exceptions

from phi_labs.errors import EngineError, MissingObject

CALL_DEADLINE = 30.0


class Connection:
    """One container engine, reached through the SDK.

    Args:
        removal_lock: file whose lock serialises removals between processes: Debian 12's engine (20.10.24)
            can deadlock when containers are removed in parallel (moby#46661).
        deadline: seconds that any single call may take.
    """

    def __init__(
        self, removal_lock: Path | None = None, deadline: float = CALL_DEADLINE, version: str = "auto"
    ) -> None:
        self.deadline = deadline
        self._removal_lock = removal_lock
        with told("reach the container engine"):
            # The stubs cover the SDK unevenly (hijacked sockets, untyped calls): Any on purpose.
            self._api: Any = docker.APIClient(
                version=version, timeout=int(deadline), **docker.utils.kwargs_from_env(dict(os.environ))
            )
        if self._api.base_url.startswith("http+docker://"):  # a socket of this machine
            self._api.trust_env = False  # no proxy is between: looking for one costs 1 ms a call

    def reconnected(self, deadline: float | None = None) -> Self:
        """The same engine over connections of its own, for a forked process or another thread."""
        return type(self)(self._removal_lock, deadline or self.deadline, version=self._api.api_version)

    def info(self) -> dict[str, Any]:
        """The engine's own description (storage driver, versions, memory)."""
        with told("read the engine's description"):
            answer: dict[str, Any] = self._api.info()
        return answer

    def version(self) -> dict[str, Any]:
        """The engine's version table."""
        with told("read the engine's version"):
            answer: dict[str, Any] = self._api.version()
        return answer

    def close(self) -> None:
        """Give the connections back."""
        self._api.close()

    @contextlib.contextmanager
    def one_removal(self) -> Iterator[None]:
        """Hold the lock under which alone something is removed."""
        if self._removal_lock is None:
            yield
            return
        with self._removal_lock.open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


@contextlib.contextmanager
def told(what: str) -> Iterator[None]:
    """Turn the SDK's errors into ours, saying which call failed."""
    try:
        yield
    except docker.errors.NotFound as error:
        raise MissingObject(f"could not {what}: {error.explanation or 'it does not exist'}") from error
    except docker.errors.APIError as error:
        raise EngineError(f"could not {what}: {error.explanation or error}", _hint(str(error))) from error
    except requests.exceptions.Timeout as error:
        raise EngineError(
            f"could not {what}: the engine did not answer in time",
            "it may be busy or hung; try again, then look at its log (phi-labs doctor)",
        ) from error
    except (requests.exceptions.RequestException, docker.errors.DockerException, OSError) as error:
        raise EngineError(
            f"could not {what}: no container engine answers at {_address()}",
            f"start it, or run phi-labs doctor to see what is missing ({_short(error)})",
        ) from error


def _address() -> str:
    return os.environ.get("DOCKER_HOST") or "its default socket"


def _short(error: BaseException) -> str:
    text = str(error)
    return text if len(text) < 160 else text[:157] + "..."


def _hint(text: str) -> str:
    if "no space left" in text.lower():
        return "the engine's disk is full: free space there, then try again (phi-labs doctor)"
    if "cannot allocate memory" in text.lower():
        return "the engine's machine has no memory left: stop something, then try again"
    return ""
