"""Hands-on HIPAA labs: real servers, synthetic patients, graders that look from outside."""

__version__ = "0.1.0"
