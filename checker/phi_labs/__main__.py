"""The entry point, and the only place where exceptions become exit codes."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING

from phi_labs.errors import PhiLabsError

if TYPE_CHECKING:
    from phi_labs.cli.session import MakeInstallation

INTERRUPTED = 130
READER_GONE = 141  # what a shell shows for a process that died of SIGPIPE
_PATIENCE = 3  # Ctrl-C while cleaning up: how often before the cleaning is given up
_A_MOMENT = 0.01  # seconds


class Ended(KeyboardInterrupt):
    """SIGTERM or SIGHUP: ends a command as Ctrl-C does, clean-up included."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


def main(arguments: Sequence[str] | None = None, make_installation: MakeInstallation | None = None) -> int:
    """Run one command and return its exit code.

    0 done, or all objectives passed; 1 graded, not all passed; 2 the user's mistake; 3 our or the
    engine's trouble; 130 interrupted.

    Args:
        make_installation: how commands get state and engine; None for what the environment names.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    # paramiko needs invoke for `Match exec` of ssh_config files only, which we never read: 70 ms.
    sys.modules.setdefault("invoke", None)  # type: ignore[arg-type]
    try:
        return _run(words, make_installation)
    except KeyboardInterrupt as error:
        return _interrupted(error)
    except BrokenPipeError:
        _forget_output()
        return READER_GONE
    except PhiLabsError as error:
        _say_error(error.message, error.hint, words)
        behind = _interrupt_behind(error)
        return _interrupted(behind) if behind else error.exit_code
    except Exception as error:  # whatever it is, the user gets one line and a way on
        if behind := _interrupt_behind(error):
            return _interrupted(behind)
        _say_error(
            f"this should not have happened: {type(error).__name__}: {error}",
            "run it again with --debug and report what it prints",
            words,
        )
        return PhiLabsError.exit_code


def _interrupted(error: KeyboardInterrupt) -> int:
    _say("interrupted")
    return error.exit_code if isinstance(error, Ended) else INTERRUPTED


def _interrupt_behind(error: BaseException | None) -> KeyboardInterrupt | None:
    """The interrupt that an error came out of, if it did.

    One that lands inside of ``threading``'s own steps leaves as "release unlocked lock", one that cuts an
    answer in two as trouble with the engine.
    """
    seen = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, KeyboardInterrupt):
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


def _run(words: list[str], make_installation: MakeInstallation | None) -> int:
    if words[:1] == ["connect"] and "--help" not in words:
        from phi_labs.cli.bridge import connect  # noqa: PLC0415 - before anything heavy is imported

        return connect(words[1:])
    with _signals():
        if words[:2] == ["workshop", "status"] and make_installation is None:
            from phi_labs.cli.workshop_asking import quick_status  # noqa: PLC0415 - as above

            code = quick_status(words[2:])
            if code is not None:
                return code
        from phi_labs.cli.app import run  # noqa: PLC0415 - within reach of the handlers above

        return run(words, make_installation)


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """End in order on SIGTERM and SIGHUP, and let clean-up finish when Ctrl-C is pressed again."""
    pressed = 0

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal pressed
        pressed += 1
        if pressed == 1 or pressed > _PATIENCE:
            raise KeyboardInterrupt
        _say("still cleaning up; that takes a few seconds")

    def end(number: int, _frame: FrameType | None) -> None:
        raise Ended(number)

    def swallowed(what: sys.UnraisableHookArgs) -> None:
        """Python drops whatever is raised while it destroys an object: an interrupt comes once more."""
        nonlocal pressed
        if not isinstance(what.exc_value, KeyboardInterrupt):
            unraisable(what)
            return
        pressed = 0
        number = what.exc_value.exit_code - 128 if isinstance(what.exc_value, Ended) else signal.SIGINT
        # Raised in here it would be dropped again.
        main = threading.main_thread().ident or 0
        threading.Timer(_A_MOMENT, signal.pthread_kill, (main, number)).start()

    handlers = {signal.SIGINT: interrupt, signal.SIGTERM: end, signal.SIGHUP: end}
    # nohup and background jobs of scripts start with signals ignored: that stays so.
    wanted = {number: new for number, new in handlers.items() if signal.getsignal(number) != signal.SIG_IGN}
    before = {number: signal.signal(number, new) for number, new in wanted.items()}
    unraisable, sys.unraisablehook = sys.unraisablehook, swallowed
    try:
        yield
    finally:
        sys.unraisablehook = unraisable
        for number, old in before.items():
            signal.signal(number, old)


def _say_error(message: str, hint: str, words: Sequence[str]) -> None:
    if "--debug" in words:
        import traceback  # noqa: PLC0415 - rarely needed

        traceback.print_exc()
    _say(message)
    if hint:
        print(_printable(hint), file=sys.stderr)


def _say(text: str) -> None:
    # An error stream that is closed must not turn one error into another.
    with contextlib.suppress(OSError, ValueError):
        print(f"phi-labs: {_printable(text)}", file=sys.stderr, flush=True)


def _printable(text: str) -> str:
    """Without control characters: messages quote machines that a trainee rules, and terminals obey."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text.expandtabs(4))


def _forget_output() -> None:
    """Whoever read our output has left (``| head``): Python's own last flush must not complain."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
