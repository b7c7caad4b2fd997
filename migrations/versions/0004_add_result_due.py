"""Add tasks.is_result_due and a partial index, to find finished tasks whose result was not fetched yet."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

IS_DUE = sa.text("is_result_due")


def upgrade() -> None:
    op.add_column(
        "tasks", sa.Column("is_result_due", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.execute(
        "UPDATE tasks SET is_result_due = true WHERE status IN ('FAILURE', 'SUCCESS') "
        "AND NOT EXISTS (SELECT 1 FROM task_results WHERE task_results.task_id = tasks.task_id)"
    )
    op.create_index(
        "ix_tasks_result_due", "tasks", ["completed_at"], sqlite_where=IS_DUE, postgresql_where=IS_DUE
    )


def downgrade() -> None:
    # After an interrupted first load the index does not exist yet.
    op.drop_index("ix_tasks_result_due", "tasks", if_exists=True)
    op.drop_column("tasks", "is_result_due")
