"""Scripts are taken apart where bash would, and nothing else is made of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from phi_labs.authoring.mutate import cuts_of
from phi_labs.authoring.shell import NotUnderstood, read_script, syntax_error
from phi_labs.model.content import content_folder

SCRIPTS = sorted((content_folder() / "labs").glob("*/attempts/*.sh"))


def top(text: str) -> list[str]:
    return [text[item.start : item.end] for item in read_script(text).items]


def names(text: str) -> list[str]:
    return [command.argv[0] for command in read_script(text).commands() if command.argv]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a; b\nc &\nd", ["a", "b", "c", "d"]),
        ("# only a remark\n\n  \n", []),
        ("a \\\n  b\nc", ["a \\\n  b", "c"]),
        ("a |\n  b\nc", ["a |\n  b", "c"]),
        ("a && b ||\n c; d", ["a && b ||\n c", "d"]),
        ("echo 'a; b' \"c; $(d; e)\"; f", ["echo 'a; b' \"c; $(d; e)\"", "f"]),
        ("echo ${a#*;} $((1 + 2)) `x; y`; z", ["echo ${a#*;} $((1 + 2)) `x; y`", "z"]),
        ("if a; then b; elif c; then d; else e; fi\nf", ["if a; then b; elif c; then d; else e; fi", "f"]),
        ("for x in a b; do c; done > out; d", ["for x in a b; do c; done > out", "d"]),
        ("while read x; do y; done < in\nz", ["while read x; do y; done < in", "z"]),
        ("case $x in\n a|b) c; d ;;\n *) e ;;\nesac; f", ["case $x in\n a|b) c; d ;;\n *) e ;;\nesac", "f"]),
        ("f() {\n a\n}\nfunction g { b; }\nc", ["f() {\n a\n}", "function g { b; }", "c"]),
        ("( a; b ) 2>&1 | c; { d; }", ["( a; b ) 2>&1 | c", "{ d; }"]),
        ("cat <<'E' > f\na; b\nE\nc", ["cat <<'E' > f\na; b\nE", "c"]),
        ("cat <<-E\n\ta\n\tE\nb", ["cat <<-E\n\ta\n\tE", "b"]),
        ("[[ -f a && -f b ]] && c", ["[[ -f a && -f b ]] && c"]),
        ("x=(a; b)", ["x=(a; b)"]),
        ("diff <(a; b) >(c); d", ["diff <(a; b) >(c)", "d"]),
        ("((i++)); a", ["((i++))", "a"]),
        ("a 2>&1 >/dev/null <<< 'x; y'; b", ["a 2>&1 >/dev/null <<< 'x; y'", "b"]),
        ("a # remark; b's\nc", ["a", "c"]),
    ],
)
def test_the_entries_of_a_script_are_found(text: str, parts: list[str]) -> None:
    assert top(text) == parts


def test_commands_are_found_inside_of_loops_conditions_and_functions() -> None:
    text = "if a; then b; fi\nfor x in 1; do c | d; done\nf() { e; }\nwhile g; do h; done\n( i )\n"
    assert names(text) == ["a", "b", "c", "d", "e", "g", "h", "i"]


def test_a_command_knows_its_words_redirections_and_documents() -> None:
    (command,) = read_script("LC_ALL=C sort -u 'a b' > \"out\" 2>&1 <<E\ntext\nE\n").commands()
    assert command.argv == ("sort", "-u", "a b")
    assert command.redirects[:2] == ((">", '"out"'), (">&", "1"))
    assert "text" in command.documents[0]


@pytest.mark.parametrize("text", ["x=1", "export A=b C", "y=$(date)", "local z=1 w=2"])
def test_what_only_assigns_is_known(text: str) -> None:
    (command,) = read_script(text).commands()
    assert command.only_assigns is (text != "export A=b C")


@pytest.mark.parametrize("text", ["echo 'a", "if a; then b", "for x in; done", "a $(b", "{ a;"])
def test_what_bash_refuses_is_not_understood_either(text: str) -> None:
    assert syntax_error(text)
    with pytest.raises(NotUnderstood):
        read_script(text)


def test_a_here_document_without_its_end_is_a_syntax_error() -> None:
    assert "here-document" in syntax_error("cat <<E\nabc\n")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_every_attempt_that_came_along_is_understood(path: Path) -> None:
    script = read_script(path.read_text())
    assert script.items
    assert "".join(path.read_text().split()).startswith("#!/usr/bin/envbash")


# --- what is left out ----------------------------------------------------------------------------------


def cut_texts(text: str) -> list[str]:
    return [cut.text for cut in cuts_of(read_script(text))]


def test_commands_are_left_out_one_at_a_time() -> None:
    cuts = cuts_of(read_script("set -eu\na 1\n\nb 2 |\n  c\n"))
    assert [(cut.line, cut.text) for cut in cuts] == [(2, "a 1"), (4, "b 2 |")]
    assert [cut.script for cut in cuts] == ["set -eu\n:\n\nb 2 |\n  c\n", "set -eu\na 1\n\n:\n"]


def test_loops_are_left_out_whole_and_command_by_command() -> None:
    text = "for x in 1 2; do\n  answer=$x\n  a; b\ndone > out\nif t; then c; else d; fi\n"
    assert cut_texts(text) == [
        "for x in 1 2; do",
        "a",
        "b",
        "if t; then c; else d; fi",
        "c",
        "d",
    ]


def test_a_chain_is_left_out_link_by_link_but_alternatives_as_one() -> None:
    assert cut_texts("a && b\nc || d\n") == ["a", "b", "c || d"]


def test_what_sets_the_stage_is_left_in() -> None:
    text = "set -eu\nx=1\nexport Y=2\ntrue\nf() { a; }\nf\n# remark\n"
    assert cut_texts(text) == ["a", "f"]


def test_emptying_a_file_is_something() -> None:
    assert cut_texts(": > log\n:\n") == [": > log"]


def test_a_document_goes_with_its_command() -> None:
    (cut,) = cuts_of(read_script("cat > f <<'E'\na; b\nE\n"))
    assert cut.script == ":\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a  # phi-labs: unnoticed because it only shows\n", "it only shows"),
        ("# phi-labs: unnoticed because it only shows\na\n", "it only shows"),
        ("a |\n  b  # phi-labs: unnoticed because it only shows\n", "it only shows"),
        ("a\n# phi-labs: unnoticed because of b\nb\n", ""),
        ("a  # phi-labs: unnoticed because\n", ""),
        ("b  # phi-labs: unnoticed because of b\na\n", "of b"),
    ],
)
def test_an_author_says_why_nobody_need_notice(text: str, reason: str) -> None:
    assert cuts_of(read_script(text))[0].reason == reason


def test_every_cut_of_every_right_way_is_still_a_script() -> None:
    for path in SCRIPTS:
        if not path.stem.startswith("wrong-"):
            assert all(not syntax_error(cut.script) for cut in cuts_of(read_script(path.read_text())))
