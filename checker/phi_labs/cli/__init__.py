"""The command line: thin skins over the floors below, one module per group of commands."""
