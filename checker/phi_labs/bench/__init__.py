"""Measuring speed and memory, side by side with what a user would pick instead.

These machines are shared and noisy: medians of interleaved runs, and ratios, are what counts.
"""

from phi_labs.bench.report import BenchReport, Figure
from phi_labs.bench.run import GROUPS, Choice, bench

__all__ = ["GROUPS", "BenchReport", "Choice", "Figure", "bench"]
