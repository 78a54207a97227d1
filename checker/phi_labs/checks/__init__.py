"""What a lab's checks import: the two decorators, the types of the fixtures, and what every lab asks.

A check is a pytest function ``test_...(host, live, planted, record)`` (any of these, in any
order). A failed expectation is a plain ``assert condition, "what was seen"``: the message is
shown to the trainee, so it says what was seen, never the fix nor the right answer.

The functions that begin with ``assert_`` are such expectations; the others answer questions. All of
them ask the machine through its host, and none of them asks for a recipe.
"""

from __future__ import annotations

from phi_labs.checks.accounts import (
    assert_accounts_distinct,
    assert_accounts_unchanged,
    assert_nobody_locked_out,
    assert_nobody_new_has_a_password,
    assert_own_groups_only,
    barred,
    new_accounts,
    password_hashes,
    shadow_of,
)
from phi_labs.checks.files import above, text_of, within_reach
from phi_labs.checks.marks import guard, objective
from phi_labs.checks.private_keys import MARKS as PRIVATE_KEY_MARKS
from phi_labs.checks.private_keys import UNKNOWN as UNKNOWN_KEY
from phi_labs.checks.private_keys import private_keys
from phi_labs.checks.report import assert_no_patients_in_records, assert_stated
from phi_labs.checks.services import (
    assert_has_read,
    assert_no_lent_rights,
    assert_only_ssh_listens,
    run_as_cron,
    strange_processes,
    told_processes,
)
from phi_labs.checks.sshd import (
    assert_homes_closed,
    assert_keys_only,
    assert_let_in,
    assert_own_keys_only,
    assert_sshd_has_read,
    key_files,
    keys_of,
    option_word,
    options_for,
    sometimes,
)
from phi_labs.checks.sudo import assert_sudo_protects
from phi_labs.grading.host import Host
from phi_labs.grading.pace import pace
from phi_labs.grading.planted import Planted
from phi_labs.grading.record import Record

__all__ = [
    "PRIVATE_KEY_MARKS",
    "UNKNOWN_KEY",
    "Host",
    "Planted",
    "Record",
    "above",
    "assert_accounts_distinct",
    "assert_accounts_unchanged",
    "assert_has_read",
    "assert_homes_closed",
    "assert_keys_only",
    "assert_let_in",
    "assert_no_lent_rights",
    "assert_no_patients_in_records",
    "assert_nobody_locked_out",
    "assert_nobody_new_has_a_password",
    "assert_only_ssh_listens",
    "assert_own_groups_only",
    "assert_own_keys_only",
    "assert_sshd_has_read",
    "assert_stated",
    "assert_sudo_protects",
    "barred",
    "guard",
    "key_files",
    "keys_of",
    "new_accounts",
    "objective",
    "option_word",
    "options_for",
    "pace",
    "password_hashes",
    "private_keys",
    "run_as_cron",
    "shadow_of",
    "sometimes",
    "strange_processes",
    "text_of",
    "told_processes",
    "within_reach",
]
