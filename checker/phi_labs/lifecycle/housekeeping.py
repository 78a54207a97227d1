"""``python -m phi_labs.lifecycle.housekeeping LAB``: tidy up and prepare spares, in the background.

One at a time: a second one that finds the lock taken leaves a note and ends, and the first goes
round again. Its trouble goes to housekeeping.log in the state directory.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from phi_labs.errors import PhiLabsError
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.pool import spares_wanted, tidy
from phi_labs.model.content import find_lab

LOCK = "housekeeping"


def keep_house(installation: Installation, lab_id: str) -> None:
    """Tidy until nobody asks for more."""
    wish = installation.state.root / "locks" / "housekeeping.wish"
    wish.touch(mode=0o600)
    while wish.exists():
        with installation.state.lock(LOCK, wait=False) as free:
            if not free:
                return
            wish.unlink(missing_ok=True)
            lab = find_lab(lab_id, installation.content) if spares_wanted() else None
            tidy(installation, lab)


def main() -> int:
    """Entry point; exit code 0 also when there was trouble, which is logged: nobody reads it."""
    named = os.environ.get("PHI_LABS_CONTENT")
    installation = Installation(content=Path(named) if named else None)
    try:
        keep_house(installation, sys.argv[1])
    except PhiLabsError as error:
        with (installation.state.root / "housekeeping.log").open("a", encoding="utf-8") as log:
            log.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {error}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
