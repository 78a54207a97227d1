"""An installation for the time of one operation: nothing of the user's is touched, nothing is left."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from phi_labs.errors import EngineError
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.runs import remove_everything
from phi_labs.lifecycle.state import State


@contextmanager
def scratch_installation(
    installation: Installation, purpose: str, master_key: str = ""
) -> Iterator[Installation]:
    """An installation with a state directory, an id and a probe of its own.

    Args:
        purpose: part of its id, so that what is left after a kill can be recognised.
        master_key: 64 hexadecimal digits for the same seeds every time; random when empty.
    """
    root = Path(tempfile.mkdtemp(prefix=f"phi-labs-{purpose}-"))
    try:
        identity = {
            "install": f"{purpose}-{os.urandom(3).hex()}",
            "master_key": master_key or os.urandom(32).hex(),
        }
        State.write(root / "install.json", json.dumps(identity))
        beside = Installation(State(root), installation.tell, installation.content)
        beside.probe_container()
        try:
            yield beside
        finally:
            with suppress(EngineError):
                remove_everything(beside, probe=True)
    finally:
        shutil.rmtree(root, ignore_errors=True)
