"""
Add the details of tasks, failed attempts, the time of the watermark, and the page size.

The columns hold fields that only a task's details have, the number of failed fetches of a result, the local
time at which the watermark was set, and the largest page size that the server accepts. Finished tasks
without times are marked, so that the next syncs fetch their details. On SQLite, the index on the history
now covers the columns that the views read; on Postgres it is only renamed.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision = "0009"
down_revision = "0008"

INSTANT = sa.Text().with_variant(TIMESTAMP(timezone=True), "postgresql")
JSON = sa.Text().with_variant(JSONB(), "postgresql")
DETAIL_DUE = sa.text("detail_due_at IS NOT NULL")
HISTORY_KEY = ["task_id", "history_id"]
READ_BY_VIEWS = ["observed_at", "event", "status", "previous_status"]


def upgrade() -> None:
    op.add_column("tasks", sa.Column("detail", JSON))
    op.add_column("tasks", sa.Column("detail_due_at", INSTANT))
    op.add_column("task_results", sa.Column("failures", sa.Integer(), server_default="0", nullable=False))
    op.add_column("sync_state", sa.Column("watermark_set_at", INSTANT))
    op.add_column("sync_state", sa.Column("max_page_size", sa.Integer()))
    op.execute(
        "UPDATE tasks SET detail_due_at = changed_at WHERE started_at IS NULL AND completed_at IS NULL "
        "AND removed_at IS NULL AND (status = 'REVOKED' OR task_id IN ("
        "SELECT task_id FROM task_results WHERE state IN ('archived', 'expired')))"
    )
    op.create_index(
        "ix_tasks_detail_due",
        "tasks",
        ["detail_due_at"],
        sqlite_where=DETAIL_DUE,
        postgresql_where=DETAIL_DUE,
    )
    op.execute(
        "UPDATE sync_state SET watermark_set_at = ("
        "SELECT started_at FROM sync_runs WHERE status = 'succeeded' AND watermark_after = watermark "
        "ORDER BY run_id LIMIT 1)"
    )
    if op.get_bind().dialect.name == "sqlite":
        _index_history(HISTORY_KEY + READ_BY_VIEWS)
    else:
        op.execute("ALTER INDEX ix_task_history_task_id RENAME TO ix_task_history_task_id_history_id")


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _index_history(HISTORY_KEY)
    else:
        op.execute("ALTER INDEX ix_task_history_task_id_history_id RENAME TO ix_task_history_task_id")
    op.drop_column("sync_state", "max_page_size")
    op.drop_column("sync_state", "watermark_set_at")
    op.drop_column("task_results", "failures")
    # After an interrupted first load the index does not exist yet.
    op.drop_index("ix_tasks_detail_due", "tasks", if_exists=True)
    op.drop_column("tasks", "detail_due_at")
    op.drop_column("tasks", "detail")


def _index_history(columns: list[str]) -> None:
    # After an interrupted first load the index does not exist yet.
    op.drop_index("ix_task_history_task_id", "task_history", if_exists=True)
    op.create_index("ix_task_history_task_id", "task_history", columns)
