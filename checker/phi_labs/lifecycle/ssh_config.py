"""The files with which ssh, scp, sftp and editors reach a run; SSH travels over an exec stream."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping

from phi_labs.lifecycle.keys import KeyPair
from phi_labs.lifecycle.state import RunFolder
from phi_labs.model.lab import Lab
from phi_labs.model.run import Run


def alias(lab: str, host: str, hosts: int) -> str:
    """The name by which ssh_config knows a machine: the lab's, or lab.host when there are several."""
    return lab if hosts == 1 else f"{lab}.{host}"


def ssh_files(
    lab: Lab, run: Run, folder: RunFolder, key: KeyPair, host_keys: Mapping[str, str]
) -> dict[str, str]:
    """File name -> content: the key pair, known_hosts and ssh_config of a run."""
    known, blocks = [], []
    for host in lab.hosts:
        name = alias(lab.id, host.name, len(lab.hosts))
        kind, blob = host_keys[host.name].split()[:2]
        known.append(f"{name} {kind} {blob}\n")
        bridge = [sys.executable, "-I", "-m", "phi_labs", "connect", lab.id]
        bridge += ["--trainee", run.trainee, "--host", host.name, "--state", str(folder.path.parents[2])]
        blocks.append(
            f"Host {name}\n"
            f"    HostName {name}\n"
            f"    HostKeyAlias {name}\n"
            f"    User {host.login}\n"
            f"    IdentityFile {_quoted(str(folder.key))}\n"
            f"    IdentitiesOnly yes\n"
            f"    UserKnownHostsFile {_quoted(str(folder.known_hosts))}\n"
            f"    GlobalKnownHostsFile /dev/null\n"
            f"    StrictHostKeyChecking yes\n"
            f"    ProxyCommand {shlex.join(bridge).replace('%', '%%')}\n"
        )
    return {
        folder.key.name: key.private,
        folder.key.name + ".pub": key.public + "\n",
        folder.known_hosts.name: "".join(known),
        folder.ssh_config.name: "\n".join(blocks),
    }


def _quoted(path: str) -> str:
    return '"' + path.replace("%", "%%").replace('"', '\\"') + '"'
