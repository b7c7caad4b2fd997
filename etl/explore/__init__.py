"""The copy in Datasette: views, the query book, facets and full-text search, and nothing can be written."""

from etl.explore.server import explorer, serve
from etl.explore.site import site

__all__ = ["explorer", "serve", "site"]
