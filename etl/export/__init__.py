"""
Tables and views as files: Parquet, CSV, NDJSON; transcripts as subtitle files.

    from pathlib import Path
    from etl import export

    export.export("tasks", Path("tasks.parquet"), source="sqlite:///gcore_tasks.db", since="2026-06-01")
    export.export_subtitles(Path("subtitles"), "srt")

All that one call writes is of one instant, and a sync may run meanwhile. A file appears under its name when
it is complete, and not before.
"""

from etl.export.subtitle_files import SUBTITLE_FORMATS, export_subtitles
from etl.export.tables import FORMATS, PERIODS, RELATIONS, export

__all__ = [
    "FORMATS",
    "PERIODS",
    "RELATIONS",
    "SUBTITLE_FORMATS",
    "export",
    "export_subtitles",
]
