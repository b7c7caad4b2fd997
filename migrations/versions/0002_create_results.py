"""Create task_results, the archive of results, and the tables subtitles and detections."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision = "0002"
down_revision = "0001"

INSTANT = sa.Text().with_variant(TIMESTAMP(timezone=True), "postgresql")
JSON = sa.Text().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "task_results",
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text()),
        sa.Column("result", JSON),
        sa.Column("detected", sa.Boolean()),
        sa.Column("speech_detected", sa.Boolean()),
        sa.Column("languages", JSON),
        sa.Column("text", sa.Text()),
        sa.Column("vtt", sa.Text()),
        sa.Column("error", sa.Text()),
        sa.Column("fetched_at", INSTANT),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", INSTANT),
        sa.PrimaryKeyConstraint("task_id", name="pk_task_results"),
    )
    op.create_index("ix_task_results_state", "task_results", ["state", "next_attempt_at"])

    op.create_table(
        "subtitles",
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("start_seconds", sa.Double()),
        sa.Column("end_seconds", sa.Double()),
        sa.Column("text", sa.Text()),
        sa.PrimaryKeyConstraint("task_id", "position", name="pk_subtitles"),
    )
    op.create_table(
        "detections",
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("frame_number", sa.Integer()),
        sa.Column("label", sa.Text()),
        sa.Column("confidence", sa.Double()),
        sa.PrimaryKeyConstraint("task_id", "position", name="pk_detections"),
    )


def downgrade() -> None:
    op.drop_table("detections")
    op.drop_table("subtitles")
    op.drop_table("task_results")
