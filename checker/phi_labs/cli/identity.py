"""Who is sitting there; imports nothing heavy, since ``connect`` asks, too."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping

TRAINEE = "PHI_LABS_TRAINEE"


def login_name(environment: Mapping[str, str] | None = None) -> str:
    """The name of whoever runs this: LOGNAME or USER, else what passwd says, else the uid."""
    environment = os.environ if environment is None else environment
    for variable in ("LOGNAME", "USER"):
        if environment.get(variable):
            return environment[variable]
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid{os.getuid()}"


def trainee_of(given: str | None, environment: Mapping[str, str] | None = None) -> str:
    """The trainee's name: as given, else $PHI_LABS_TRAINEE, else the login name; UserError if unusable."""
    from phi_labs.model.trainee import trainee_name  # noqa: PLC0415 - unicodedata, only when a name is needed

    environment = os.environ if environment is None else environment
    chosen = given if given is not None else environment.get(TRAINEE) or login_name(environment)
    return trainee_name(chosen)
