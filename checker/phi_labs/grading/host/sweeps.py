"""Sweeps: where planted identifiers still stand, and for whom."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import date
from typing import Any

from phi_fixtures.manifest import date_forms
from phi_labs.errors import ProbeError
from phi_labs.grading.host.files import Files
from phi_labs.grading.leaks import Leak, Leaks
from phi_labs.lifecycle.accounts import Account

SWEEP_BYTES = 2 * 1024 * 1024 * 1024
SWEEP_SECONDS = 15.0  # of processor time
SWEEP_DEADLINE = 60.0  # a check ends earlier
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class Sweeps(Files):
    """A machine that can be searched; one sweep serves many questions."""

    def leaks(
        self,
        identifiers: Iterable[str],
        readable_by: str | None = None,
        *,
        everywhere: bool = False,
        volatile: bool = False,
    ) -> Leaks:
        """Where identifiers still stand, as they are or written otherwise, in files and inside of them.

        An identifier is found with other separators (an SSN without dashes, a date in another form), in
        UTF-16, in base64, in gz, bz2, xz, zip, tar and pg_dump files, also in each other. Digits that are a
        part of a longer number are none.

        Args:
            readable_by: only files that this account can open.
            everywhere: also in what has not changed since the image.
            volatile: also in what a restart does not keep (/run, /dev/shm). Of the running lab that is
                always looked at; of a copy it matters once something was run on it.
        """
        found = self._sweep(frozenset(identifiers), everywhere, live=self._live or volatile)
        if readable_by is None:
            return found
        open_to = self._open_to(readable_by, list(found.paths))
        return Leaks([leak for leak in found if leak.path in open_to], found.notes)

    def _open_to(self, user: str, paths: Sequence[str]) -> set[str]:
        """Those of the files a sweep found that an account can open.

        A file whose permissions moved since the sweep counts as open: a process that closes it whenever
        somebody looks closes nothing.
        """
        shut = [path for path, can in zip(paths, self.can(user, paths, "read"), strict=True) if not can]
        moving = {path: self._seen[path] for path in shut if path in self._seen}
        account = self.accounts.users.get(user)
        if account is None:
            return set()
        can, looks = self._can_and_looks(account, list(moving))
        pairs = zip(moving, can, looks, strict=True)
        moved = {path for path, may, now in pairs if may or not _settled(moving[path], now)}
        return set(paths) - set(shut) | moved

    def _can_and_looks(
        self, account: Account, paths: Sequence[str]
    ) -> tuple[list[bool], list[list[int] | None]]:
        """Whether an account can open each file, and how each looks at that moment."""
        answer = self._must(
            "can",
            uid=account.uid,
            gid=account.gid,
            groups=sorted(self.accounts.gids_of(account.name)),
            items=[(path, "read") for path in paths],
            looks=True,
        )
        return answer["can"], answer["looks"]

    def find(self, strings: Iterable[str], *, volatile: bool = False) -> Leaks:
        """Where strings stand in what changed since the image; as ``leaks`` without a persona."""
        return self._sweep(frozenset(strings), everywhere=False, live=self._live or volatile)

    def held_open(self, identifiers: Iterable[str]) -> Leaks:
        """Where identifiers stand in files that were deleted and that a process still holds open."""
        strings = sorted(frozenset(identifiers))
        answer = self._must(
            "unlinked",
            strings=strings,
            also=other_dates(strings),
            limit_bytes=SWEEP_BYTES,
            within=SWEEP_SECONDS,
            seconds=SWEEP_DEADLINE,
        )
        found = [
            Leak(path, container, frozenset(strings[number] for number in numbers))
            for path, container, numbers in answer["hits"]
        ]
        return Leaks(found, [(path, reason) for path, reason in answer["notes"]])

    def _sweep(self, wanted: frozenset[str], everywhere: bool, *, live: bool) -> Leaks:
        for (kind, *key), remembered in list(self._memory.items()):
            if kind == "sweep" and key[0] == (everywhere, live) and wanted <= key[1]:
                swept: Leaks = remembered
                return swept.of(wanted)
        again = self._known if wanted & self._known else frozenset()
        asked = wanted | again
        fresh = self._ask_sweep([*sorted(again), *sorted(asked - again)], len(again), everywhere, live=live)
        self._memory["sweep", (everywhere, live), asked] = fresh
        return fresh.of(wanted)

    def _ask_sweep(self, strings: list[str], again: int, everywhere: bool, *, live: bool) -> Leaks:
        answer = self._sweep_answer(strings, again, everywhere, live=live)
        if answer["moved"] and self._freeze is not None:
            with self._freeze():  # what nobody moves, nobody moves out of sight
                self._generation = secrets.token_hex(8)
                answer = self._sweep_answer(strings, again, everywhere, live=live)
        blocked = answer["blocked"]
        if blocked:
            raise ProbeError(f"{self.name} cannot be searched: /{blocked[0][0]}: {blocked[0][1]}")
        self._seen.update(answer["seen"])
        found = [
            Leak(path, container, frozenset(strings[number] for number in numbers))
            for path, container, numbers in answer["hits"]
        ]
        return Leaks(found, [("/" + path, reason) for path, reason in answer["notes"]])

    def _sweep_answer(
        self, strings: list[str], again: int, everywhere: bool, *, live: bool
    ) -> dict[str, Any]:
        return self._must(
            "sweep",
            strings=strings,
            known=again,
            also=other_dates(strings),
            key=None if everywhere else self._machine.image,
            live=live,
            generation=self._generation,
            limit_bytes=SWEEP_BYTES,
            within=SWEEP_SECONDS,
        )


def other_dates(strings: Sequence[str]) -> list[tuple[str, int]]:
    """The other ways to write those of the strings that are ISO dates, each with the string's number."""
    return [(form, number) for number, text in enumerate(strings) for form in _date_forms(text)]


def _date_forms(text: str) -> tuple[str, ...]:
    if not _ISO_DATE.fullmatch(text):
        return ()
    with suppress(ValueError):  # 30 February is no date
        return date_forms(date.fromisoformat(text))
    return ()


def _settled(before: Sequence[int], now: Sequence[int] | None) -> bool:
    """Whether nothing changed between two looks at a file but, at most, what was written to it."""
    if now is None:
        return False
    (changed, written, *rights), (changed_now, written_now, *rights_now) = before, now
    return changed == changed_now or (written != written_now and rights == rights_now)
