"""Change no table: every upgrade recreates the views, and this release has more of them."""

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Do nothing: the caller recreates the views."""


def downgrade() -> None:
    """Do nothing."""
