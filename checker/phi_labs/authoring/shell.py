"""Reading attempts as bash does, as far as it takes to name their commands: which are there, and where.

This proposes; bash decides. Whoever changes a script by what is found here asks ``syntax_error`` afterwards.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from phi_labs.errors import UserError

_OPERATORS = (";;&", "&&", "||", ";;", ";&", "|&", ";", "&", "|", "(", ")")
_REDIRECTS = ("<<<", "<<-", "&>>", "<<", ">>", "<>", ">|", ">&", "<&", "&>", "<", ">")
_ENDS_LIST = (")", ";;", ";&", ";;&")
_OPEN = {"(": ")", "{": "}"}
_ASSIGNMENT = re.compile(r"^[A-Za-z_]\w*(\[[^]]*\])?\+?=")
_DECLARES = ("export", "readonly", "declare", "local", "typeset")
_CHECK_SECONDS = 10


class NotUnderstood(Exception):
    """A script, or a corner of bash, that this reader does not know; the line is in the message."""


@dataclass
class Token:
    """A word, an operator, a redirection or a line's end; ``reach`` is where a here-document ends."""

    kind: str
    text: str
    start: int
    end: int
    reach: int = 0


@dataclass(frozen=True)
class Command:
    """A simple command, or a compound one with what it holds.

    Attributes:
        words: of a simple command, as they are written, assignments before it included.
        redirects: operator and target.
        documents: texts of its here-documents.
        keyword: ``for``, ``if``, ``{``, ``function``...; empty for a simple command.
        conditions: lists that are only asked; ``bodies``: lists that are done.
    """

    start: int
    end: int
    words: tuple[str, ...] = ()
    redirects: tuple[tuple[str, str], ...] = ()
    documents: tuple[str, ...] = ()
    keyword: str = ""
    conditions: tuple[tuple[Item, ...], ...] = ()
    bodies: tuple[tuple[Item, ...], ...] = ()

    @property
    def only_assigns(self) -> bool:
        """Whether it sets variables and does nothing else."""
        words = self.words[1:] if self.words[:1] and self.words[0] in _DECLARES else self.words
        assigns = bool(words) and all(_ASSIGNMENT.match(word) or word.startswith("-") for word in words)
        return not self.keyword and assigns and not self.redirects

    @property
    def argv(self) -> tuple[str, ...]:
        """The words without quotes and without assignments before them."""
        plain = [unquoted(word) for word in self.words]
        while plain and _ASSIGNMENT.match(plain[0]):
            del plain[0]
        return tuple(plain)


@dataclass(frozen=True)
class Pipeline:
    """Commands joined by ``|``."""

    commands: tuple[Command, ...]

    @property
    def start(self) -> int:
        """Offset of its first letter."""
        return self.commands[0].start

    @property
    def end(self) -> int:
        """Offset behind its last letter."""
        return max(command.end for command in self.commands)


@dataclass(frozen=True)
class Item:
    """Pipelines joined by ``&&`` and ``||``: one entry of a list."""

    pipelines: tuple[Pipeline, ...]
    joints: tuple[str, ...]

    @property
    def start(self) -> int:
        """Offset of its first letter."""
        return self.pipelines[0].start

    @property
    def end(self) -> int:
        """Offset behind its last letter."""
        return max(pipeline.end for pipeline in self.pipelines)


@dataclass(frozen=True)
class Script:
    """A script's text and its top-level list."""

    text: str
    items: tuple[Item, ...]

    def line_of(self, offset: int) -> int:
        """Line (from 1) of an offset."""
        return self.text.count("\n", 0, offset) + 1

    def commands(self) -> Iterator[Command]:
        """Every simple command, in conditions and bodies as well."""
        yield from (command for command in _all_commands(self.items) if not command.keyword)


def _all_commands(items: tuple[Item, ...]) -> Iterator[Command]:
    for command in commands_of(items):
        yield command
        for inner in (*command.conditions, *command.bodies):
            yield from _all_commands(inner)


def commands_of(items: tuple[Item, ...]) -> Iterator[Command]:
    """The commands of a list itself, not those inside of them."""
    for item in items:
        for pipeline in item.pipelines:
            yield from pipeline.commands


def read_script(text: str) -> Script:
    """A script's commands.

    Raises:
        NotUnderstood: it has something that this reader does not know.
    """
    reader = _Reader(text, _tokens(text))
    items = reader.list_until()
    if reader.peek is not None:
        raise reader.lost()
    return Script(text, items)


def unquoted(word: str) -> str:
    """A word without its quotes and escapes; expansions stay as they are written."""
    return re.sub(r"\\(.)|['\"]", lambda found: found[1] or "", word, flags=re.DOTALL)


@lru_cache(maxsize=512)
def syntax_error(text: str) -> str:
    """What ``bash -n`` says against a script, empty when nothing.

    Raises:
        UserError: there is no bash on this machine.
    """
    try:
        said = subprocess.run(
            ["bash", "-n"], input=text.encode(), capture_output=True, timeout=_CHECK_SECONDS, check=False
        )
    except FileNotFoundError as error:
        raise UserError("bash is not installed, so attempts cannot be checked", "install bash") from error
    except subprocess.TimeoutExpired:
        return "bash -n did not come to an end"
    lines = said.stderr.decode(errors="replace").splitlines()
    return "" if said.returncode == 0 and not lines else (lines or ["syntax error"])[0]


# --- letters to tokens ---------------------------------------------------------------------------------


def _tokens(text: str) -> list[Token]:
    found: list[Token] = []
    waiting: list[Token] = []  # here-documents whose text begins after this line
    at = 0
    while at < len(text):
        token = _token_at(text, at)
        at = token.end
        if token.kind == "newline":
            at = _documents(text, at, waiting)
            waiting = []
        if token.kind in ("blank", "comment"):
            continue
        if found and found[-1].kind == "redirect" and found[-1].text in ("<<", "<<-"):
            waiting.append(token)  # the word that ends the document
        found.append(token)
    _documents(text, at, waiting)
    return found


def _token_at(text: str, at: int) -> Token:  # noqa: PLR0911 - one for each kind of token
    letter = text[at]
    if letter in " \t" or text.startswith("\\\n", at):
        return Token("blank", " ", at, at + (2 if letter == "\\" else 1))
    if letter == "\n":
        return Token("newline", "\n", at, at + 1)
    if letter == "#":
        end = text.find("\n", at)
        return Token("comment", "", at, len(text) if end < 0 else end)
    if text.startswith("((", at):
        end = _behind(text, at + 1, "(")
        return Token("word", text[at : end + 1], at, end + 1)
    number = re.compile(r"\d*").match(text, at)
    digits = number.end() if number else at
    for sign in _REDIRECTS:
        if text.startswith(sign, digits) and not text.startswith(("<(", ">("), digits):
            return Token("redirect", sign, at, digits + len(sign))
    for sign in _OPERATORS:
        if text.startswith(sign, at):
            return Token("operator", sign, at, at + len(sign))
    return _word_at(text, at)


def _word_at(text: str, start: int) -> Token:
    at = start
    while at < len(text):
        letter = text[at]
        if letter == "\\":
            at += 2
        elif letter in "'\"`":
            at = _behind_quote(text, at)
        elif letter == "$" and text[at + 1 : at + 2] in _OPEN:
            at = _behind(text, at + 1, text[at + 1])
        elif letter in "<>" and text[at + 1 : at + 2] == "(":
            at = _behind(text, at + 1, "(")
        elif letter == "(" and at > start and text[at - 1] == "=":  # an array
            at = _behind(text, at, "(")
        elif letter in " \t\n;&|()<>":
            break
        else:
            at += 1
    if text[start:at] == "[[":
        end = text.find("]]", at)
        at = len(text) if end < 0 else end + 2
    return Token("word", text[start:at], start, at)


def _behind_quote(text: str, at: int) -> int:
    quote, at = text[at], at + 1
    while at < len(text) and text[at] != quote:
        if text[at] == "\\" and quote != "'":
            at += 1
        elif quote == '"' and text[at] == "$" and text[at + 1 : at + 2] in _OPEN:
            at = _behind(text, at + 1, text[at + 1]) - 1
        at += 1
    if at >= len(text):
        raise NotUnderstood("a quote is not closed")
    return at + 1


def _behind(text: str, at: int, opened: str) -> int:
    """Offset behind the bracket that closes the one at ``at``."""
    closes, depth = _OPEN[opened], 0
    while at < len(text):
        letter = text[at]
        if letter == "\\":
            at += 1
        elif letter in "'\"":
            at = _behind_quote(text, at) - 1
        elif letter == opened:
            depth += 1
        elif letter == closes:
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1
    raise NotUnderstood("a bracket is not closed")


def _documents(text: str, at: int, waiting: list[Token]) -> int:
    """Read the here-documents that begin here; offset behind them."""
    for token in waiting:
        delimiter = unquoted(token.text)
        while at < len(text):
            end = text.find("\n", at)
            end = len(text) if end < 0 else end
            line, at = text[at:end], min(end + 1, len(text))
            if line.lstrip("\t") == delimiter:
                token.reach = end
                break
    return at


# --- tokens to commands --------------------------------------------------------------------------------


@dataclass
class _Reader:
    text: str
    tokens: list[Token]
    at: int = field(default=0)

    @property
    def peek(self) -> Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def lost(self) -> NotUnderstood:
        token = self.peek
        if token is None:
            return NotUnderstood("the script ends too early")
        line = self.text.count("\n", 0, token.start) + 1
        return NotUnderstood(f"line {line}: {token.text!r} is not understood here")

    def take(self) -> Token:
        token = self.peek
        if token is None:
            raise self.lost()
        self.at += 1
        return token

    def skip(self, *texts: str) -> None:
        while self.peek is not None and self.peek.kind != "word" and self.peek.text in texts:
            self.at += 1

    def expect(self, *words: str) -> Token:
        if self.peek is None or self.peek.text not in words:
            raise self.lost()
        return self.take()

    def list_until(self, *stops: str) -> tuple[Item, ...]:
        items: list[Item] = []
        while True:
            self.skip("\n", ";", "&")
            token = self.peek
            if token is None or (token.kind == "word" and token.text in stops):
                return tuple(items)
            if token.kind == "operator" and token.text in _ENDS_LIST:
                return tuple(items)
            items.append(self.item())

    def item(self) -> Item:
        pipelines, joints = [self.pipeline()], []
        while self.peek is not None and self.peek.text in ("&&", "||"):
            joints.append(self.take().text)
            self.skip("\n")
            pipelines.append(self.pipeline())
        return Item(tuple(pipelines), tuple(joints))

    def pipeline(self) -> Pipeline:
        while self.peek is not None and self.peek.kind == "word" and self.peek.text in ("!", "time"):
            self.take()
        commands = [self.command()]
        while self.peek is not None and self.peek.text in ("|", "|&"):
            self.take()
            self.skip("\n")
            commands.append(self.command())
        return Pipeline(tuple(commands))

    def command(self) -> Command:
        first = self.take()
        known: dict[str, Callable[[], _Parts]] = {
            "for": self.loop_over,
            "select": self.loop_over,
            "while": self.loop_while,
            "until": self.loop_while,
            "if": self.choice,
            "case": self.cases,
            "{": lambda: self.enclosed("}"),
            "(": lambda: self.enclosed(")"),
            "function": self.function,
        }
        if first.text in known:
            conditions, bodies = known[first.text]()
            return self.closed(first, first.text, conditions, bodies)
        if first.kind == "word" and self.peek is not None and self.peek.text == "(":
            self.expect("(")
            self.expect(")")
            self.skip("\n")
            return self.closed(first, "function", (), (self.one(),))
        if first.kind not in ("word", "redirect"):
            self.at -= 1
            raise self.lost()
        self.at -= 1
        return self.closed(first, "", (), ())

    def one(self) -> tuple[Item, ...]:
        return (Item((Pipeline((self.command(),)),), ()),)

    def closed(self, first: Token, keyword: str, conditions: _Lists, bodies: _Lists) -> Command:
        """The command that began with ``first``, with the words and redirections that follow."""
        words, redirects, documents = [], [], []
        end = max(first.end, self.tokens[self.at - 1].end if keyword else 0)
        while self.peek is not None and self.peek.kind in ("word", "redirect"):
            if keyword and self.peek.kind == "word":
                break
            token = self.take()
            end = max(end, token.end)
            if token.kind == "word":
                words.append(token.text)
                continue
            target = self.take()
            redirects.append((token.text, target.text))
            end = max(end, target.end, target.reach)
            if target.reach:
                documents.append(self.text[target.end : target.reach])
        inner = [command.end for items in (*conditions, *bodies) for command in commands_of(items)]
        return Command(
            first.start,
            max([end, *inner]),
            tuple(words),
            tuple(redirects),
            tuple(documents),
            keyword,
            conditions,
            bodies,
        )

    def loop_over(self) -> _Parts:
        while self.peek is not None and self.peek.text != "do":
            self.take()
        return (), (self.body("do", "done"),)

    def loop_while(self) -> _Parts:
        condition = self.list_until("do")
        return (condition,), (self.body("do", "done"),)

    def body(self, opens: str, closes: str) -> tuple[Item, ...]:
        self.expect(opens)
        items = self.list_until(closes)
        self.expect(closes)
        return items

    def choice(self) -> _Parts:
        conditions, bodies = [], []
        word = "if"
        while word in ("if", "elif"):
            conditions.append(self.list_until("then"))
            self.expect("then")
            bodies.append(self.list_until("elif", "else", "fi"))
            word = self.expect("elif", "else", "fi").text
        if word == "else":
            bodies.append(self.list_until("fi"))
            self.expect("fi")
        return tuple(conditions), tuple(bodies)

    def cases(self) -> _Parts:
        while self.take().text != "in":
            pass
        bodies = []
        self.skip("\n")
        while self.peek is not None and self.peek.text != "esac":
            while self.take().text != ")":
                pass
            bodies.append(self.list_until("esac"))
            self.skip("\n", ";;", ";&", ";;&")
        self.expect("esac")
        return (), tuple(bodies)

    def enclosed(self, closes: str) -> _Parts:
        items = self.list_until(closes)
        self.expect(closes)
        return (), (items,)

    def function(self) -> _Parts:
        self.take()
        self.skip("(", ")", "\n")
        return (), (self.one(),)


_Lists = tuple[tuple[Item, ...], ...]
_Parts = tuple[_Lists, _Lists]
