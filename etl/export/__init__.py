"""
Export tables and views to Parquet, CSV or NDJSON, and transcripts to subtitle files.

    from pathlib import Path
    from etl import export

    export.export("tasks", Path("tasks.parquet"), source="sqlite:///gcore_tasks.db", since="2026-06-01")
    export.export_subtitles(Path("subtitles"), "srt")

Each call exports one snapshot of the database, also while a sync runs. A file gets its name only when it is
complete.
"""

from etl.export.subtitle_files import SUBTITLE_FORMATS, export_subtitles
from etl.export.tables import FORMATS, PERIODS, export

__all__ = [
    "FORMATS",
    "PERIODS",
    "SUBTITLE_FORMATS",
    "export",
    "export_subtitles",
]
