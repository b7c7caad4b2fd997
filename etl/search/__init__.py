"""Full-text search over the transcripts that are archived."""

from etl.search.find import Hit, is_complete, search

__all__ = ["Hit", "is_complete", "search"]
