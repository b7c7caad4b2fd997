"""Create tasks, with the current state, and task_history, with the changes."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision = "0001"
down_revision = None

INSTANT = sa.Text().with_variant(TIMESTAMP(timezone=True), "postgresql")
JSON = sa.Text().with_variant(JSONB(), "postgresql")
IN_FLIGHT = sa.text("removed_at IS NULL AND coalesce(status, '') NOT IN ('FAILURE', 'REVOKED', 'SUCCESS')")


def upgrade() -> None:
    op.create_table(
        "tasks",
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("task_name", sa.Text()),
        sa.Column("status", sa.Text()),
        sa.Column("progress", sa.Integer()),
        sa.Column("url", sa.Text()),
        sa.Column("category", sa.Text()),
        sa.Column("audio_language", sa.Text()),
        sa.Column("subtitles_language", sa.Text()),
        sa.Column("stop_objects", sa.Text()),
        sa.Column("client_id", sa.BigInteger()),
        sa.Column("client_user_id", sa.Text()),
        sa.Column("client_entity_data", sa.Text()),
        sa.Column("task_data", JSON),
        sa.Column("started_at", INSTANT),
        sa.Column("completed_at", INSTANT),
        sa.Column("total_time_sec", sa.Double()),
        sa.Column("date_created", INSTANT),
        sa.Column("created_after", INSTANT),
        sa.Column("created_before", INSTANT),
        sa.Column("extra", JSON),
        sa.Column("payload_hash", sa.LargeBinary()),
        sa.Column("first_seen_at", INSTANT, nullable=False),
        sa.Column("changed_at", INSTANT, nullable=False),
        sa.Column("removed_at", INSTANT),
        sa.PrimaryKeyConstraint("task_id", name="pk_tasks"),
    )
    op.create_index(
        "ix_tasks_in_flight", "tasks", ["task_id"], sqlite_where=IN_FLIGHT, postgresql_where=IN_FLIGHT
    )
    op.create_index("ix_tasks_started_at", "tasks", ["started_at"])

    op.create_table(
        "task_history",
        sa.Column("history_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("observed_at", INSTANT, nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("status", sa.Text()),
        sa.Column("progress", sa.Integer()),
        sa.Column("previous_status", sa.Text()),
        sa.Column("previous_progress", sa.Integer()),
        sa.PrimaryKeyConstraint("history_id", name="pk_task_history"),
    )
    op.create_index("ix_task_history_task_id", "task_history", ["task_id", "history_id"])


def downgrade() -> None:
    op.drop_table("task_history")
    op.drop_table("tasks")
