"""Change no table: every upgrade makes the views anew, and a wait that nobody knows is no longer given."""

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Leave the views to whoever calls the upgrade."""


def downgrade() -> None:
    """Nothing to take away."""
