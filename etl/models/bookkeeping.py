"""What the sync knows of itself: its runs, where it stands, and what it had to set aside."""

from sqlalchemy import CheckConstraint, Column, Integer, LargeBinary, Table, Text, UniqueConstraint

from etl.models.base import METADATA, Json, UtcDateTime

_COUNTERS = (
    *("requests", "pages", "tasks_seen", "inserted", "updated", "unchanged", "removed"),
    *("results_archived", "rejected"),
)

RUNS = Table(
    "sync_runs",
    METADATA,
    Column("run_id", Integer, primary_key=True),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("mode", Text, nullable=False),  # incremental, full, since, partial
    Column("status", Text, nullable=False),  # running, succeeded, failed, interrupted
    *(Column(name, Integer, nullable=False, server_default="0") for name in _COUNTERS),
    Column("watermark_before", UtcDateTime),
    Column("watermark_after", UtcDateTime),
    Column("error", Text),
    Column("version", Text),
    info={"comment": "One row a run: written when it starts, closed when it ends."},
)

STATE = Table(
    "sync_state",
    METADATA,
    Column("state_id", Integer, primary_key=True, autoincrement=False, server_default="1"),
    Column("watermark", UtcDateTime),
    Column("date_filter", Text),
    Column("date_filter_checked_at", UtcDateTime),
    Column("granted_page_size", Integer),
    Column("client_ids", Json),
    Column("last_full_at", UtcDateTime),
    # Rows of `tasks` with no `removed_at`, kept up to date so that no run has to count them.
    Column("present_tasks", Integer, nullable=False, server_default="0"),
    # What the count audit starts from: see etl/sync/count_balance.py.
    Column("count_bias", Integer, nullable=False, server_default="0"),
    Column("surplus", Integer, nullable=False, server_default="0"),
    # By which way of cutting words all transcripts can be searched: see etl/load/tokenizer.py.
    Column("words_version", Integer, nullable=False, server_default="0"),
    # This machine's time when the server's clock read `watermark`.
    Column("watermark_set_at", UtcDateTime),
    # The largest page the server accepts, once it has refused a larger one.
    Column("max_page_size", Integer),
    CheckConstraint("state_id = 1", name="one_row"),
    info={"comment": "Where the sync stands: exactly one row, which the migration puts there."},
)

REJECTED = Table(
    "rejected_records",
    METADATA,
    Column("rejected_id", Integer, primary_key=True),
    Column("run_id", Integer, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("reason", Text, nullable=False),
    Column("raw", Text, nullable=False),
    Column("raw_hash", LargeBinary, nullable=False),  # 16 bytes
    UniqueConstraint("raw_hash"),
    info={"comment": "One row a record that could not be loaded, once however often it was seen."},
)
