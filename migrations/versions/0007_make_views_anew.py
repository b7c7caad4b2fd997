"""Add no table: every upgrade makes the views anew, and there are more of them."""

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Leave the views to whoever calls the upgrade."""


def downgrade() -> None:
    """Nothing to take away."""
