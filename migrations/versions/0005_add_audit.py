"""Add the number of tasks, and the explained differences to the source, for the count audit."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    for name in ("present_tasks", "count_bias", "surplus"):
        op.add_column("sync_state", sa.Column(name, sa.Integer(), server_default="0", nullable=False))
    op.execute("UPDATE sync_state SET present_tasks = (SELECT count(*) FROM tasks WHERE removed_at IS NULL)")


def downgrade() -> None:
    for name in ("surplus", "count_bias", "present_tasks"):
        op.drop_column("sync_state", name)
