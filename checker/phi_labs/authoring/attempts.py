"""Applying a script of ``attempts/`` to a run, as the trainee, over SSH."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from phi_fixtures.manifest import Manifest
from phi_labs.errors import UserError
from phi_labs.grading.ssh import SshResult, ssh_session
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.machines import wait_for_ssh
from phi_labs.lifecycle.runs import need_live_run
from phi_labs.model.lab import GENERATED, Lab
from phi_labs.model.nearest import did_you_mean

AS_USER = "# phi-labs: user"
ON_HOST = "# phi-labs: host "
DEADLINE = 60.0
LAST_LINES = 12
MOVED_TO = "/root/moved-away"


def apply_attempt(installation: Installation, lab: Lab, trainee: str, name: str) -> str:
    """Run an attempt on a trainee's run; return what it printed. The run is flagged as practice.

    Raises:
        UserError: unknown attempt, no run, or the script failed (with its last lines).
    """
    if name in GENERATED:
        need_live_run(installation, lab.id, trainee)
        scripts = generated_scripts(name, installation.state.load_manifest(trainee, lab.id))
        said = [
            apply_script(installation, lab, trainee, name, f"{ON_HOST}{host}\n{script}")
            for host, script in scripts.items()
        ]
        return "".join(said)
    script = _attempt_path(lab, name).read_text(encoding="utf-8")
    return apply_script(installation, lab, trainee, name, script)


def apply_script(installation: Installation, lab: Lab, trainee: str, name: str, script: str) -> str:
    """Run a script as attempts are run; return what it printed. ``name`` is for messages.

    Raises:
        HalfWay: the script failed, or did not end in time.
        UserError: no run, or no way in.
    """
    run = need_live_run(installation, lab.id, trainee)
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
        raise HalfWay(
            f"attempt {name} did not end within {DEADLINE:.0f} seconds", "see its script; reset the run"
        ) from error
    except AssertionError as error:
        raise UserError(
            f"{error}, so attempt {name} cannot be applied",
            f"phi-labs rescue {lab.id} opens a root console; phi-labs reset {lab.id} starts afresh",
        ) from error
    if result.exit_code != 0:
        raise _half_way(name, lab.attempts.get(name), result)
    return result.stdout.decode(errors="replace")


class HalfWay(UserError):
    """An attempt's script did not come to its end."""


def generated_scripts(name: str, manifest: Manifest) -> dict[str, str]:
    """Host -> a script that empties, or moves away, every path that plant.py noted with ``p.planted``.

    What is moved goes to a folder of root's own, owners and modes as they are.
    """
    paths: dict[str, list[str]] = {}
    for artefacts in manifest.sites.values():
        for artefact in artefacts:
            known = paths.setdefault(artefact.host, [])
            if artefact.path not in known:
                known.append(artefact.path)
    return {host: _generated(name, sorted(known)) for host, known in paths.items()}


def _generated(name: str, paths: list[str]) -> str:
    words = " ".join(shlex.quote(path) for path in paths)
    before, each = "", 'find "$path" -xdev -type f -exec truncate --size=0 -- {} +'
    if name == "generated-moved":
        before = f"number=0\ninstall -d -m 0700 {MOVED_TO}\n"
        each = f'number=$((number + 1)); mv -T -- "$path" {MOVED_TO}/$number'
    return f'set -eu\n{before}for path in {words}; do\n    if [ -e "$path" ]; then {each}; fi\ndone\n'


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
        names = [*known, *GENERATED]
        raise UserError(
            f"lab {lab.id} has no attempt {name!r}",
            " ".join(filter(None, [did_you_mean(name, names), "attempts: " + ", ".join(names)])),
        )
    return known[name]


def _host_of(script: str, default: str) -> str:
    for line in script.splitlines()[:3]:
        if line.startswith(ON_HOST):
            return line.removeprefix(ON_HOST).strip()
    return default


def _half_way(name: str, path: Path | None, result: SshResult) -> HalfWay:
    said = (result.stdout + result.stderr).decode(errors="replace").splitlines()[-LAST_LINES:]
    see = f"see {path}; " if path else ""
    return HalfWay(
        f"attempt {name} failed half-way (exit code {result.exit_code}); the run is left as it is",
        "its last lines:\n" + "\n".join(said) + f"\n{see}phi-labs reset starts afresh",
    )
