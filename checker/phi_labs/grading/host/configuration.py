"""What changed since the image, and what configuration means to the programs that read it."""

from __future__ import annotations

from phi_labs.grading.changes import LIMIT, Changes
from phi_labs.grading.host.files import Files
from phi_labs.grading.interpreter import Rotation, Sudoers

SSH_PORT = 22
SSHD = "/usr/sbin/sshd"


class Configuration(Files):
    """A machine's differences to its image, and its configuration as pristine programs read it."""

    def changed(self) -> Changes:
        """The differences to the pristine image, what was planted included."""
        changes: Changes = self._remembered(
            "changed",
            lambda: Changes(
                self,
                self._must(
                    "changes",
                    key=self._machine.image,
                    live=self._live,
                    generation=self._generation,
                    limit=LIMIT,
                ),
            ),
        )
        return changes

    @property
    def sudoers(self) -> Sudoers:
        """Who may run what through sudo, as the pristine cvtsudoers reads it."""
        sudoers: Sudoers = self._remembered("sudoers", self._read_sudoers)
        return sudoers

    @property
    def sshd_config(self) -> dict[str, list[str]]:
        """The SSH server's effective options (lower-case keys), as the pristine ``sshd -T`` reads them."""
        options: dict[str, list[str]] = self._remembered("sshd", self._read_sshd)
        return options

    def sshd_config_for(self, user: str, address: str = "192.0.2.1") -> dict[str, list[str]]:
        """The options that hold for one user's connection, Match blocks resolved."""
        return self._read_sshd(f"user={user},host={address},addr={address}")

    def _read_sshd(self, connection: str | None = None) -> dict[str, list[str]]:
        """The files' options, if the server that runs goes by these files alone."""
        for server in self._must("servers", port=SSH_PORT)["servers"]:
            title = server["title"]
            plain = server["program"] != SSHD or title.startswith(f"sshd: {SSHD} [listener]")
            assert plain, "sshd was started with options of its own, beside its configuration"
        return self._reader().sshd(self._machine, connection)

    def logrotate(self) -> list[Rotation]:
        """What the daily logrotate run would do, as the pristine ``logrotate -d`` reads it."""
        rotations: list[Rotation] = self._remembered(
            "logrotate", lambda: self._reader().logrotate(self._machine, self.accounts)
        )
        return rotations

    def _read_sudoers(self) -> Sudoers:
        return self._reader().sudoers(self._machine, self.accounts)
