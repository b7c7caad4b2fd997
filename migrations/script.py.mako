"""
${message}.

Before you write:
- One concern a file. Name it NNNN_verb_object.py and give `--rev-id NNNN`, the next free number.
- Import nothing from `etl`: models and views move on, a released migration must not. Never edit a released one.
- It runs on SQLite and on Postgres, in the one transaction of the whole upgrade: no commit, no CONCURRENTLY.
- Change an existing table in place (`op.add_column`, `op.drop_column`), never with `op.batch_alter_table`: SQLite
  would rebuild it, and what users have attached to it would be lost. A constraint needs a name.
- Views are there while it upgrades, and changed after it: do not touch them.
- Instants: TIMESTAMPTZ, on SQLite TEXT. JSON: JSONB, on SQLite TEXT. Spell the types out, as 0001 does.
- Fill a new NOT NULL column of a table that has rows (a server default, or an UPDATE between two steps).
- `downgrade` undoes the shape, not the data. `tests/migrations` runs each step up, down and up over rows.
- Say in CHANGELOG.md what changes for users, and whether a `sync --full` is advised.
"""

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
