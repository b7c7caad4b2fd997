"""
${message}.

Before you write (delete this list afterwards):
- One concern per file. Name it NNNN_verb_object.py and give `--rev-id NNNN`, the next free number.
- Import nothing from `etl`: models and views change, released migrations must not. Never edit a released one.
- It runs on SQLite and on Postgres, in the transaction of the whole upgrade: no commit, no CONCURRENTLY.
- Change an existing table in place (`op.add_column`, `op.drop_column`), never with `op.batch_alter_table`: SQLite
  would rebuild it, and users' triggers and views on it would be lost. A constraint needs a name.
- Views exist during the upgrade, and are recreated after it: do not touch them.
- Instants: TIMESTAMPTZ, on SQLite TEXT. JSON: JSONB, on SQLite TEXT. Spell the types out, as 0001 does.
- Fill a new NOT NULL column of a table that has rows (a server default, or an UPDATE between two steps).
- A field of the API that gets a column is in `tasks.extra` of existing rows. The next full sync moves it; a migration
  need not, but can also move the values of removed tasks, and those in `tasks.detail`.
- `downgrade` restores the schema, not the data. `tests/migrations` runs each step up, down and up over rows.
- Describe in CHANGELOG.md what changes for users, and whether they should run `sync --full`.
"""

import sqlalchemy as sa
from alembic import op

revision = "${up_revision}"
down_revision = ${f'"{down_revision}"' if down_revision else None}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
