"""A complete, current, permanent copy of Gcore AI tasks in SQLite or Postgres."""

__version__ = "0.1.0"
