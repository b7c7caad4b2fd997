"""Create sync_runs, sync_state with its single row, and rejected_records."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision = "0003"
down_revision = "0002"

INSTANT = sa.Text().with_variant(TIMESTAMP(timezone=True), "postgresql")
JSON = sa.Text().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "sync_runs",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("finished_at", INSTANT),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("requests", sa.Integer(), server_default="0", nullable=False),
        sa.Column("pages", sa.Integer(), server_default="0", nullable=False),
        sa.Column("tasks_seen", sa.Integer(), server_default="0", nullable=False),
        sa.Column("inserted", sa.Integer(), server_default="0", nullable=False),
        sa.Column("updated", sa.Integer(), server_default="0", nullable=False),
        sa.Column("unchanged", sa.Integer(), server_default="0", nullable=False),
        sa.Column("removed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("results_archived", sa.Integer(), server_default="0", nullable=False),
        sa.Column("rejected", sa.Integer(), server_default="0", nullable=False),
        sa.Column("watermark_before", INSTANT),
        sa.Column("watermark_after", INSTANT),
        sa.Column("error", sa.Text()),
        sa.Column("version", sa.Text()),
        sa.PrimaryKeyConstraint("run_id", name="pk_sync_runs"),
    )

    op.create_table(
        "sync_state",
        sa.Column("state_id", sa.Integer(), autoincrement=False, server_default="1", nullable=False),
        sa.Column("watermark", INSTANT),
        sa.Column("date_filter", sa.Text()),
        sa.Column("date_filter_checked_at", INSTANT),
        sa.Column("granted_page_size", sa.Integer()),
        sa.Column("client_ids", JSON),
        sa.Column("last_full_at", INSTANT),
        sa.PrimaryKeyConstraint("state_id", name="pk_sync_state"),
        sa.CheckConstraint("state_id = 1", name=op.f("ck_sync_state_one_row")),
    )
    op.execute("INSERT INTO sync_state (state_id) VALUES (1)")

    op.create_table(
        "rejected_records",
        sa.Column("rejected_id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("raw", sa.Text(), nullable=False),
        sa.Column("raw_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("rejected_id", name="pk_rejected_records"),
        sa.UniqueConstraint("raw_hash", name="uq_rejected_records_raw_hash"),
    )


def downgrade() -> None:
    op.drop_table("rejected_records")
    op.drop_table("sync_state")
    op.drop_table("sync_runs")
