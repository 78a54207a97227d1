"""What can go wrong, and whose business it is.

Only ``phi_labs.__main__.main`` turns these into exit codes.
"""

from __future__ import annotations


class PhiLabsError(Exception):
    """Base of every error that phi-labs raises on purpose.

    ``message`` says what happened and where, ``hint`` what to do next.
    """

    exit_code = 3

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UserError(PhiLabsError):
    """Something the user can mend: a wrong name, a missing run, a malformed file."""

    exit_code = 2


class StateUnwritable(UserError):
    """The state directory cannot be written: full, read-only, not ours."""


class MachineDown(UserError):
    """A machine of a run is there and does not run: it was stopped from outside, or ran out of memory."""


class EngineError(PhiLabsError):
    """The container engine is absent, refused, hung or died."""


class MissingObject(EngineError):
    """A container, image or network that the engine no longer knows."""


class ProbeError(PhiLabsError):
    """The trusted reader broke: never evidence about a trainee's machine."""


class UntrustedRoot(PhiLabsError):
    """The root directory that a container's PID 1 shows is not the container's own (a decoy)."""


class NotGraded(PhiLabsError):
    """This submission could not be graded, through our fault: no attempt is counted, no zero is given."""


class ProbeGone(ProbeError):
    """The conversation with the trusted reader ended: it died, or the engine did."""


class HandsError(ProbeError):
    """The helper inside a clone broke: the lab may have killed it, so a control decides whose fault it is."""


class ProbeTimeout(ProbeError):
    """The trusted reader did not answer in time: its trouble, or a machine made to be slow."""


class RecordsError(PhiLabsError):
    """The records' database is locked, full, damaged or cannot be reached: nothing was written."""
