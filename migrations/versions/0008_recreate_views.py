"""Change no table: every upgrade recreates the views, and an unknown wait is now null in them."""

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Do nothing: the caller recreates the views."""


def downgrade() -> None:
    """Do nothing."""
