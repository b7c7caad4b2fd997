-- One row a stretch of time in which a task kept one status, as the syncs observed it (changes of progress are
-- no change of status). Times in UTC; valid_from is included, valid_to is not, and null while the status lasts.
-- A stretch ends, too, when the source no longer has the task. seconds is null while the status lasts.
-- history_id is the row of task_history that opened the stretch: the order within a task.
WITH observed AS (
    SELECT
        history_id, task_id, observed_at, event, status,
        CASE
            WHEN event = 'removed' THEN 'gone'
            WHEN status IS NULL THEN 'there'
            ELSE 'there: ' || status
        END AS state
    FROM task_history
),
compared AS (
    SELECT
        observed.*,
        lag(state, 1, '') OVER (PARTITION BY task_id ORDER BY history_id) AS previous_state
    FROM observed
),
turns AS (
    SELECT
        history_id, task_id, event, status,
        observed_at AS valid_from,
        lead(observed_at) OVER (PARTITION BY task_id ORDER BY history_id) AS valid_to
    FROM compared
    WHERE state <> previous_state
),
measured AS (
    SELECT turns.*, micros(valid_from) AS starts, micros(valid_to) AS ends
    FROM turns
    WHERE event <> 'removed'
)
SELECT task_id, status, valid_from, valid_to, seconds(ends - starts) AS seconds, history_id
FROM measured
