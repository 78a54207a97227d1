"""The words of phi-labs: labs, runs, scorecards, citations, organisations; no I/O but reading YAML.

Nothing is imported here, so that the command line's fast paths pay only for the module they name.
"""
