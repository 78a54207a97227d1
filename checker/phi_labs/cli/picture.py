"""What the terminal shows, as an SVG file: README's picture is made by the program itself."""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console, RenderableType

from phi_labs.errors import UserError

# Rich's template fetches its font from a host on the Internet; a picture must not call home.
_REMOTE_FONT = re.compile(r"@font-face \{.*?\}", re.DOTALL)


def save_picture(view: RenderableType, path: Path, *, title: str, width: int = 100) -> None:
    """Write ``view`` as an SVG; UserError when the file cannot be written."""
    console = Console(
        record=True, file=io.StringIO(), width=width, force_terminal=True, color_system="truecolor"
    )
    console.print(view)
    # A fixed id, not a hash of the content: the same scorecard gives the same bytes.
    text = _REMOTE_FONT.sub("", console.export_svg(title=title, unique_id="phi-labs"))
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}", "name another file: --svg FILE") from error
