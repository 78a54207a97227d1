"""Workshops: a scenario for a roster, from open to close."""
