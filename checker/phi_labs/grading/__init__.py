"""Grading: capture -> clone -> question -> score -> record."""
