"""Add the full-text index of transcripts, which the next sync fills."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "transcript_parts",
        sa.Column(
            "part_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("first_position", sa.Integer()),
        sa.PrimaryKeyConstraint("part_id", name="pk_transcript_parts"),
    )
    op.create_index("ix_transcript_parts_task_id", "transcript_parts", ["task_id"])
    if op.get_bind().dialect.name == "postgresql":
        op.create_table(
            "transcript_words",
            sa.Column("part_id", sa.BigInteger(), autoincrement=False, nullable=False),
            sa.Column("words", TSVECTOR(), nullable=False),
            sa.PrimaryKeyConstraint("part_id", name="pk_transcript_words"),
        )
        op.create_index("ix_transcript_words_words", "transcript_words", ["words"], postgresql_using="gin")
    else:
        # The tokens are folded already, so splitting at spaces is enough; ascii treats other characters as
        # letters.
        op.execute(
            "CREATE VIRTUAL TABLE transcript_words USING fts5(words, tokenize = 'ascii', prefix = '1 2 3')"
        )
    op.add_column("sync_state", sa.Column("words_version", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_column("sync_state", "words_version")
    op.drop_table("transcript_words")
    op.drop_table("transcript_parts")
