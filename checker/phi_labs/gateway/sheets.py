"""Access sheets: what each learner needs to log in, as a text file that can be handed out or mailed."""

from __future__ import annotations

from phi_labs.gateway.local import codes_of
from phi_labs.lifecycle.state import State
from phi_labs.model.cohort import Learner
from phi_labs.workshop.scenario import LoadedScenario
from phi_labs.workshop.settings import WorkshopFolder
from phi_labs.workshop.workshop import Workshop

SHEET = """\
{title}
{rule}

{full_name}, you log in with any SSH client:

    ssh -p {port} {name}@{host}

A menu shows your labs, the tasks, hints, the time left, and grades you. Straight into a lab (scp,
sftp, -L and editors work, too):

    ssh -p {port} {name}+{lab}@{host}

The first time ssh asks whether it is the right machine. It is, if it shows this fingerprint:

    {fingerprint}

{access}
"""
WITH_KEY = "Your public key is known: log in with the private key that belongs to it."
WITH_CODE = """\
No public key of yours is known yet. The first time, log in with the key that you want to use; you are
asked for this code, once. It is yours alone and good for seven days:

    {code}

No key yet? `ssh-keygen -t ed25519` makes one."""


def write_sheets(
    workshop: Workshop, folder: WorkshopFolder, *, host: str, port: int, fingerprint: str
) -> tuple[int, int]:
    """Write a sheet for everybody who has none yet; how many were written, and how many hold a code."""
    state = workshop.installation.state
    folder.access.mkdir(mode=0o700, exist_ok=True)
    written = coded = 0
    for name in workshop.board.learners:
        path = folder.access / f"{name}.txt"
        if path.exists():
            continue
        learner = workshop.learner(name)
        text = sheet(state, workshop.loaded, learner, host=host, port=port, fingerprint=fingerprint)
        state.write(path, text)
        written += 1
        coded += not learner.public_key
    return written, coded


def sheet(  # noqa: PLR0913 - what stands on it
    state: State, loaded: LoadedScenario, learner: Learner, *, host: str, port: int, fingerprint: str
) -> str:
    """One learner's sheet; without a public key on the roster a one-time code is made for it."""
    known = bool(learner.public_key)
    access = WITH_KEY if known else WITH_CODE.format(code=codes_of(state).issue(learner.name))
    title = loaded.scenario.title
    return SHEET.format(
        title=title,
        rule="=" * len(title),
        full_name=learner.full_name,
        name=learner.name,
        lab=loaded.labs[0].id,
        host=host,
        port=port,
        fingerprint=fingerprint,
        access=access,
    )
