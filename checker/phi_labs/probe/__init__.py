"""Asking a machine without trusting it: the resident reader, and the hands inside a clone."""
