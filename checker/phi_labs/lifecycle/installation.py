"""What every operation needs: the state directory, the engine, and where progress goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from phi_labs.errors import ProbeError
from phi_labs.lifecycle.state import State, default_state_folder
from phi_labs.model.lab import Lab

if TYPE_CHECKING:  # the SDK costs 250 ms; reading state needs none of it
    from phi_labs.engine.docker import Engine
    from phi_labs.probe.client import Probe

Tell = Callable[[str], None]


def _silent(_line: str) -> None:
    """Progress for nobody."""


@dataclass
class Installation:
    """One installation at work.

    Attributes:
        state: its state directory.
        tell: called with one line of progress at a time.
        content: folder of labs/ and scenarios/; None for the checkout's or the package's own.
    """

    state: State = field(default_factory=lambda: State(default_state_folder()))
    tell: Tell = _silent
    content: Path | None = None
    _probes: dict[str, Probe] = field(default_factory=dict, repr=False)

    @cached_property
    def engine(self) -> Engine:
        """The container engine; connected on first use."""
        from phi_labs.engine.docker import Engine  # noqa: PLC0415 - see above

        return Engine(removal_lock=self.state.lock_file("removals"))

    def beside(self) -> Installation:
        """The same installation with engine connections of its own, for another thread."""
        other = Installation(self.state, self.tell, self.content)
        other.__dict__["engine"] = self.engine.reconnected()
        return other

    def image_of(self, lab: Lab, host: str) -> str:
        """The id of a host's image, built now if it is missing."""
        from phi_labs.engine.images import ensure_image, lab_recipe  # noqa: PLC0415

        recipe = lab_recipe(lab.id, host, lab.context(host))
        return ensure_image(self.engine, recipe, self.state.lock_file("images"), self.tell)

    def probe(self, purpose: str = "main") -> Probe:
        """A conversation with the probe, kept for the next grading; one that died is replaced."""
        known = self._probes.get(purpose)
        if known is not None:
            try:
                known.ask("hello", seconds=5)
            except ProbeError:
                self.drop_probe(purpose)
        return self.begin_probe(purpose)

    def open_probe(self) -> Probe | None:
        """The main conversation, if there is one."""
        return self._probes.get("main")

    def begin_probe(self, purpose: str = "main") -> Probe:
        """The kept conversation, begun now if there is none; not asked whether it still lives."""
        from phi_labs.probe.client import Probe  # noqa: PLC0415

        if purpose not in self._probes:
            engine = self.engine.reconnected()
            try:
                self._probes[purpose] = Probe(engine, self.probe_container())
            finally:
                engine.close()  # the conversation's own socket stays
        return self._probes[purpose]

    def drop_probe(self, purpose: str = "main") -> None:
        """End a conversation: it may be out of step, since a worker died in the middle of an answer."""
        known = self._probes.pop(purpose, None)
        if known is not None:
            known.close()

    def drop_probes(self) -> None:
        """End every conversation: the probe itself is gone."""
        for purpose in list(self._probes):
            self.drop_probe(purpose)

    def probe_container(self) -> str:
        """The id of this installation's running probe, started now if it is not there."""
        from phi_labs.engine.images import ensure_image  # noqa: PLC0415
        from phi_labs.probe.client import ensure_probe, probe_recipe  # noqa: PLC0415

        image = ensure_image(self.engine, probe_recipe(), self.state.lock_file("images"), self.tell)
        with self.state.lock("probe"):
            return ensure_probe(self.engine, image, self.state.install)
