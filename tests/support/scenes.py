"""A database, the API, and commands that are stopped or interrupted in the middle of their work."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import psycopg
from support.dumps import contradictions, damage, read_dump
from support.processes import (
    SMALL_BATCHES,
    Child,
    Ended,
    Moment,
    Nursery,
    environment_for,
    sessions,
    wait_until,
)
from support.worlds import query, stored_states, true_states

if TYPE_CHECKING:
    from etl.emulator import Emulator


# Seconds within which a command ends once it is told to.
PROMPTLY = 2.0


class Scene:
    """A database, the API, and processes that run the command."""

    def __init__(self, nursery: Nursery, emulator: Emulator, database_url: str) -> None:
        self.nursery, self.emulator, self.database_url = nursery, emulator, database_url

    def start(self, *command: str, retry_for: str = "1s", **options: Any) -> Child:
        """Start a command with small pages and batches, and the options of `Nursery.start`."""
        environment = environment_for(self.emulator, self.database_url, page_size=10, retry_for=retry_for)
        return self.nursery.start(environment, *command, **{"constants": SMALL_BATCHES, **options})

    def run(self, *command: str, **options: Any) -> Ended:
        """Run a command to its end."""
        return self.start(*command, **options).await_end()

    def halt_at(self, what: str, number: int = 1, **options: Any) -> Child:
        """Start a sync that stands still from then on."""
        child = self.start("sync", moment=Moment(what=what, number=number, signal=signal.SIGSTOP), **options)
        child.await_stop()
        return child

    def start_waiting(self, *command: str) -> Child:
        """Start a command that waits for a lock, and let it try more than once."""
        is_file = self.database_url.startswith("sqlite")
        others = set() if is_file else set(sessions(self.database_url))
        child = self.start(*command)
        if is_file:
            wait_until(lambda: child.attempts() > 1, "the file is tried")
        else:
            wait_until(
                lambda: set(sessions(self.database_url, idle_for=0.05)) - others, "the server is asked"
            )
        return child

    def runs(self) -> list[str]:
        """Return how each run ended."""
        rows = query(self.database_url, "SELECT status FROM sync_runs ORDER BY run_id")
        return [status for (status,) in rows]

    def count(self, table: str) -> int:
        """Return the number of rows."""
        ((number,),) = query(self.database_url, f"SELECT count(*) FROM {table}")
        return int(number)

    def check_truth(self) -> None:
        """Check that the database is intact and contradicts itself nowhere."""
        assert damage(self.database_url) == []
        assert contradictions(read_dump(self.database_url)) == []

    def check_that_the_next_sync_makes_it_whole(self) -> None:
        """Run a sync, and compare everything with the source."""
        ended = self.run("sync")
        assert (ended.code, ended.complaints) == (0, [])
        assert stored_states(self.database_url) == true_states(self.emulator.world)
        assert self.count("task_results") == sum(
            task.status in {"SUCCESS", "FAILURE"} for task in self.emulator.world.tasks.values()
        )
        self.check_truth()


def check_end(ended: Ended, code: int, word: str) -> None:
    """Check the exit code and the only error line, which contains a word."""
    assert (ended.code, len(ended.complaints)) == (code, 1), ended
    assert ended.complaints[0].startswith("Error: ")
    assert word in ended.complaints[0]


def add_trigger(database_url: str, event: str, body: str) -> None:
    """Let Postgres do something after each such statement."""
    function = (
        f"CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN NULL; END $$"
    )
    with psycopg.connect(database_url) as connection:
        connection.execute(function.encode())
        trigger = f"CREATE TRIGGER act AFTER {event} FOR EACH STATEMENT EXECUTE FUNCTION act()"
        connection.execute(trigger.encode())
