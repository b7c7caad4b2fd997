"""Keep what the count audit needs: how many tasks are here, and by how many the two sides differ."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    with op.batch_alter_table("sync_state") as batch:
        batch.add_column(sa.Column("present_tasks", sa.Integer(), server_default="0", nullable=False))
        batch.add_column(sa.Column("count_bias", sa.Integer(), server_default="0", nullable=False))
        batch.add_column(sa.Column("surplus", sa.Integer(), server_default="0", nullable=False))
    op.execute("UPDATE sync_state SET present_tasks = (SELECT count(*) FROM tasks WHERE removed_at IS NULL)")


def downgrade() -> None:
    with op.batch_alter_table("sync_state") as batch:
        batch.drop_column("surplus")
        batch.drop_column("count_bias")
        batch.drop_column("present_tasks")
