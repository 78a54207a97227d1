"""One machine, and what it was asked: every facet of a host asks and remembers through this."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from phi_labs.errors import ProbeError
from phi_labs.grading.clone import Machine
from phi_labs.grading.interpreter import Interpreter
from phi_labs.probe.client import Probe
from phi_labs.probe.hands_client import Hands

Connect = Callable[[str], Any]


class Asked:
    """A machine, the probe that answers for it, and what is remembered until something is run on it."""

    def __init__(  # noqa: PLR0913 - what a machine offers
        self,
        machine: Machine,
        probe: Probe,
        *,
        known: frozenset[str] = frozenset(),
        live: bool = False,
        interpreter: Interpreter | None = None,
        connect: Connect | None = None,
        freeze: Callable[[], AbstractContextManager[None]] | None = None,
    ) -> None:
        self._machine = machine
        self._probe = probe
        self._known = known
        self._live = live
        self._interpreter = interpreter
        self._connect = connect
        self._freeze = freeze
        self._memory: dict[Any, Any] = {}
        self._seen: dict[str, list[int]] = {}
        # Unique: the probe remembers a walk per generation, and this machine's pid outlives a grading.
        self._generation = secrets.token_hex(8)

    @property
    def name(self) -> str:
        """The machine's host name."""
        return self._machine.name

    def forget(self) -> None:
        """Forget what was remembered: the machine may have changed."""
        self._memory.clear()
        self._seen.clear()
        self._generation = secrets.token_hex(8)

    def question(self, op: str, **fields: Any) -> dict[str, Any]:
        """Ask the probe about this machine; an answer may hold ``refused``."""
        answer = self._probe.ask(op, pid=self._machine.pid, **fields)
        if answer.get("refused", "").startswith("ended:"):  # it must not look as if nothing were there
            raise ProbeError(f"{self.name} has ended")
        return answer

    def pristine_question(self, op: str, **fields: Any) -> dict[str, Any]:
        """Ask the same about a pristine machine of the same image."""
        return self._probe.ask(op, pid=self._reader().machine.pid, **fields)

    def _hands(self) -> Hands:
        if self._machine.hands is None:
            raise ProbeError(f"nothing can be run on {self.name}: it is only looked at")
        return self._machine.hands

    def _must(self, op: str, **fields: Any) -> dict[str, Any]:
        return self._probe.must(op, pid=self._machine.pid, **fields)

    def _remembered(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._memory:
            self._memory[key] = make()
        return self._memory[key]

    def _reader(self) -> Interpreter:
        if self._interpreter is None:
            raise ProbeError(f"configuration of {self.name} cannot be interpreted here")
        return self._interpreter
