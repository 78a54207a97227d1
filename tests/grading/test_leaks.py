"""Findings are told by path and count, never by repeating what was found."""

from __future__ import annotations

from phi_labs.grading.leaks import Leak, Leaks


def leaks(*paths: str, identifiers: frozenset[str] = frozenset({"123"})) -> Leaks:
    return Leaks([Leak(path, "plain", identifiers) for path in paths], [("/x", "damaged")])


def test_no_findings_are_false_and_some_are_true() -> None:
    assert not leaks()
    assert leaks("/a")


def test_the_summary_names_paths_and_counts_but_no_identifier() -> None:
    found = leaks("/a", "/b", "/c", "/d", "/e", identifiers=frozenset({"SECRET-1", "SECRET-2"}))
    assert found.summary() == "/a (2 identifiers), /b (2 identifiers), /c (2 identifiers) and 2 more files"
    assert "SECRET" not in found.summary() + repr(found)


def test_two_layers_of_one_file_are_one_file() -> None:
    found = Leaks([Leak("/a", "plain", frozenset({"1"})), Leak("/a", "gz", frozenset({"1", "2"}))])
    assert found.paths == ("/a",)
    assert found.summary() == "/a (2 identifiers)"
    assert found.identifiers == {"1", "2"}


def test_places_are_left_out_with_all_below_them_and_nothing_else() -> None:
    found = leaks("/var/log", "/var/log/a", "/var/log2", "/var/logs/b").outside("/var/log/")
    assert found.paths == ("/var/log2", "/var/logs/b")
    assert found.notes == (("/x", "damaged"),)


def test_only_the_asked_identifiers_are_kept() -> None:
    found = Leaks([Leak("/a", "plain", frozenset({"1", "2"})), Leak("/b", "plain", frozenset({"3"}))])
    assert [(leak.path, leak.identifiers) for leak in found.of({"2"})] == [("/a", frozenset({"2"}))]
