"""Applying a script of ``attempts/`` to a run, as the trainee, over SSH."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from phi_labs.errors import UserError
from phi_labs.grading.ssh import SshResult, ssh_session
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.machines import wait_for_ssh
from phi_labs.lifecycle.runs import need_live_run
from phi_labs.model.lab import Lab
from phi_labs.model.nearest import did_you_mean

AS_USER = "# phi-labs: user"
ON_HOST = "# phi-labs: host "
DEADLINE = 60.0
LAST_LINES = 12


def apply_attempt(installation: Installation, lab: Lab, trainee: str, name: str) -> str:
    """Run an attempt on a trainee's run; return what it printed. The run is flagged as practice.

    Raises:
        UserError: unknown attempt, no run, or the script failed (with its last lines).
    """
    path = _attempt_path(lab, name)
    run = need_live_run(installation, lab.id, trainee)
    script = path.read_text(encoding="utf-8")
    host = lab.host(_host_of(script, lab.hosts[0].name))
    manifest = installation.state.load_manifest(trainee, lab.id)
    key = installation.state.run_folder(trainee, lab.id).key.read_text(encoding="utf-8")
    installation.state.flag(trainee, lab.id, "attempt")
    stdin = (exports(manifest.answers, host.login) + script).encode()
    command = "bash -s" if AS_USER in script.splitlines()[:3] else "sudo -n bash -s"
    stream = wait_for_ssh(installation.engine, run.containers[host.name])
    try:
        with ssh_session(stream, host.login, key=key) as session:
            result = session.run(command, stdin=stdin, timeout=DEADLINE)
    except TimeoutError as error:
        raise UserError(
            f"attempt {name} did not end within {DEADLINE:.0f} seconds", f"see {path}; reset the run"
        ) from error
    except AssertionError as error:
        raise UserError(
            f"{error}, so attempt {name} cannot be applied",
            f"phi-labs rescue {lab.id} opens a root console; phi-labs reset {lab.id} starts afresh",
        ) from error
    if result.exit_code != 0:
        raise _half_way(name, path, result)
    return result.stdout.decode(errors="replace")


def exports(answers: dict[str, Any], login: str) -> str:
    """Shell lines that give a script the right answers of the record as $PHI_<NAME>."""
    values = {"LOGIN": login, **{name.upper(): value for name, value in answers.items()}}
    return "".join(f"export PHI_{name}={shlex.quote(_text(value))}\n" for name, value in values.items())


def _text(value: Any) -> str:
    """Text as it is, everything else as JSON (which YAML reads as well)."""
    return value if isinstance(value, str) else json.dumps(value)


def _attempt_path(lab: Lab, name: str) -> Path:
    known = lab.attempts
    if name not in known:
        raise UserError(
            f"lab {lab.id} has no attempt {name!r}",
            " ".join(filter(None, [did_you_mean(name, list(known)), "attempts: " + ", ".join(known)])),
        )
    return known[name]


def _host_of(script: str, default: str) -> str:
    for line in script.splitlines()[:3]:
        if line.startswith(ON_HOST):
            return line.removeprefix(ON_HOST).strip()
    return default


def _half_way(name: str, path: Path, result: SshResult) -> UserError:
    said = (result.stdout + result.stderr).decode(errors="replace").splitlines()[-LAST_LINES:]
    return UserError(
        f"attempt {name} failed half-way (exit code {result.exit_code}); the run is left as it is",
        "its last lines:\n" + "\n".join(said) + f"\nsee {path}; phi-labs reset starts afresh",
    )
