"""How the records' database came to look as it does: Alembic's scripts, read by it from this folder."""
