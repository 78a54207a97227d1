"""Scores over time as a small SVG, drawn by hand: it prints in black and white, and needs nothing else."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720, 250
LEFT, RIGHT, TOP, BOTTOM = 44, 150, 14, 34
FLOOR = HEIGHT - BOTTOM
LABEL_GAP = 14
POINTS_PER_LINE = 240  # more cannot be told apart at this size
# Told apart by colour (Okabe and Ito's, for colour-blind eyes), by dashes and by marks.
_COLOURS = ("#0072b2", "#d55e00", "#007a5e", "#9c4f7f", "#7a5c00", "#333333")
_DASHES = ("", "7 3", "2 3", "9 3 2 3", "5 5", "1 2")
_MARKS = ("circle", "square", "triangle", "diamond", "circle", "square")
_DAY = 86_400.0


@dataclass(frozen=True)
class Point:
    """One score. ``when`` is seconds since 1970, ``score`` 0 to 100; what does not count is drawn hollow."""

    when: float
    score: float
    counts: bool = True


@dataclass(frozen=True)
class Line:
    """One line with its name, in order of time."""

    name: str
    points: tuple[Point, ...]


def score_chart(lines: Sequence[Line], pass_mark: int, description: str, *, marks: bool = True) -> str:
    """The SVG element; an empty string when there is nothing to draw.

    Args:
        description: what it shows, for those who cannot see it.
        marks: whether every point gets a mark; without, they only join.
    """
    drawn = [Line(line.name, thinned(line.points)) for line in lines if line.points]
    if not drawn:
        return ""
    axis = _Axis([point.when for line in drawn for point in line.points])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" class="chart">',
        f"<title>{escape(description)}</title>",
        *_scores(pass_mark),
        *axis.ticks(),
    ]
    for index, line in enumerate(drawn):
        parts += _line(line, index, axis, marks=marks)
    parts += _names(drawn, axis)
    return "\n".join([*parts, "</svg>"])


def thinned(points: Sequence[Point]) -> tuple[Point, ...]:
    """At most POINTS_PER_LINE of them, the last one always."""
    step = math.ceil(len(points) / POINTS_PER_LINE)
    return tuple(point for index, point in enumerate(reversed(points)) if index % max(step, 1) == 0)[::-1]


class _Axis:
    """Time from left to right."""

    def __init__(self, times: Sequence[float]) -> None:
        self.first, self.last = min(times), max(times)

    def x(self, when: float) -> float:
        span = self.last - self.first
        share = (when - self.first) / span if span else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def ticks(self) -> Iterator[str]:
        times = [self.first] if self.first == self.last else self._times()
        for when in times:
            x = self.x(when)
            yield f'<line x1="{x:.1f}" y1="{FLOOR}" x2="{x:.1f}" y2="{FLOOR + 4}" stroke="#555"/>'
            yield f'<text x="{x:.1f}" y="{FLOOR + 17}" text-anchor="middle">{self._told(when)}</text>'

    def _times(self) -> list[float]:
        return [self.first + (self.last - self.first) * step / 4 for step in range(5)]

    def _told(self, when: float) -> str:
        moment = datetime.datetime.fromtimestamp(when, datetime.UTC)
        span = self.last - self.first
        if span > 4 * _DAY:
            return f"{moment:%Y-%m-%d}"
        return f"{moment:%m-%d %H:%M}" if span > _DAY or span == 0 else f"{moment:%H:%M}"


def _y(score: float) -> float:
    return TOP + (100 - min(max(score, 0.0), 100.0)) / 100 * (HEIGHT - TOP - BOTTOM)


def _scores(pass_mark: int) -> Iterator[str]:
    for score in (0, 25, 50, 75, 100):
        y = _y(score)
        yield f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>'
        yield f'<text x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{score}</text>'
    y = _y(pass_mark)
    yield (
        f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#555" '
        f'stroke-dasharray="1 3" stroke-width="1.5"/>'
    )
    yield f'<text x="{LEFT + 3}" y="{y - 4:.1f}" class="mark">pass mark {pass_mark}</text>'


def _line(line: Line, index: int, axis: _Axis, *, marks: bool) -> Iterator[str]:
    colour, dash = _COLOURS[index % len(_COLOURS)], _DASHES[index % len(_DASHES)]
    places = [(axis.x(point.when), _y(point.score), point.counts) for point in line.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in places)
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"{dashes}/>'
    kind = _MARKS[index % len(_MARKS)]
    for x, y, counts in places if marks or len(places) == 1 else ():
        yield _mark(kind, x, y, colour, fill=colour if counts else "#fff")


def _mark(kind: str, x: float, y: float, colour: str, *, fill: str) -> str:
    look = f'fill="{fill}" stroke="{colour}" stroke-width="1.4"'
    if kind == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.6" {look}/>'
    if kind == "square":
        return f'<rect x="{x - 3.3:.1f}" y="{y - 3.3:.1f}" width="6.6" height="6.6" {look}/>'
    corners = {
        "triangle": ((0, -4.4), (4.2, 3.2), (-4.2, 3.2)),
        "diamond": ((0, -4.6), (4.6, 0), (0, 4.6), (-4.6, 0)),
    }
    path = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners[kind])
    return f'<polygon points="{path}" {look}/>'


def _names(lines: Sequence[Line], axis: _Axis) -> Iterator[str]:
    """Each line's name at its right end, moved apart where two would stand on each other."""
    ends = sorted((_y(line.points[-1].score), index) for index, line in enumerate(lines))
    for y, (_, index) in zip(spread([end for end, _ in ends]), ends, strict=True):
        line, colour = lines[index], _COLOURS[index % len(_COLOURS)]
        x = WIDTH - RIGHT + 16
        yield (
            f'<line x1="{axis.x(line.points[-1].when):.1f}" y1="{_y(line.points[-1].score):.1f}" '
            f'x2="{x - 4}" y2="{y:.1f}" stroke="{colour}" stroke-width="0.6" stroke-dasharray="1 2"/>'
        )
        yield _mark(_MARKS[index % len(_MARKS)], x + 1, y, colour, fill=colour)
        yield f'<text x="{x + 9}" y="{y + 4:.1f}">{escape(line.name)}</text>'


def spread(heights: Sequence[float]) -> list[float]:
    """Ascending heights, moved so that each is LABEL_GAP from the next all within the chart if they fit."""
    placed: list[float] = []
    for height in heights:
        placed.append(max(height, placed[-1] + LABEL_GAP) if placed else height)
    ceiling = FLOOR + LABEL_GAP / 2
    for index in range(len(placed) - 1, -1, -1):
        placed[index] = max(min(placed[index], ceiling), 0.0)
        ceiling = placed[index] - LABEL_GAP
    return placed
