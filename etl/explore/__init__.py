"""A read-only Datasette for a SQLite database, with the saved queries, facets and full-text search."""

from etl.explore.server import explorer, serve
from etl.explore.site import site

__all__ = ["explorer", "serve", "site"]
