"""Full-text search over the archived transcripts."""

from etl.search.find import Hit, is_complete, search

__all__ = ["Hit", "is_complete", "search"]
