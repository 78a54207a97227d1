"""One line per login, refusal and end: who, from where, where to; never what was typed."""

from __future__ import annotations

import logging
import logging.handlers
import sys
import time
from pathlib import Path

from phi_labs.gateway.names import printable

_BYTES = 5 * 1024 * 1024
_FILES = 4


class Log:
    """The gateway's log: a file that is kept small, and standard error when that is asked for."""

    def __init__(self, path: Path | None, *, to_stderr: bool = False) -> None:
        self._logger = logging.Logger("phi-labs gateway", logging.INFO)  # of its own: no global state
        handlers: list[logging.Handler] = []
        if path is not None:
            path.touch(mode=0o600)
            handlers.append(logging.handlers.RotatingFileHandler(path, "a", _BYTES, _FILES, encoding="utf-8"))
        if to_stderr:
            handlers.append(logging.StreamHandler(sys.stderr))
        format_ = logging.Formatter("%(asctime)sZ %(message)s", "%Y-%m-%dT%H:%M:%S")
        format_.converter = time.gmtime
        for handler in handlers:
            handler.setFormatter(format_)
            self._logger.addHandler(handler)

    def line(self, what: str, /, **facts: object) -> None:
        """``login user=alice from=10.0.0.7 ...``; empty facts are left out."""
        told = [f"{key}={_quoted(str(value))}" for key, value in facts.items() if value not in ("", None)]
        self._logger.info("%s", " ".join([what, *told]))

    def close(self) -> None:
        """Close the file."""
        for handler in list(self._logger.handlers):
            handler.close()
            self._logger.removeHandler(handler)


def _quoted(text: str) -> str:
    clean = printable(text, 200)
    return f'"{clean}"' if set(clean) & set(' "=') or not clean else clean
