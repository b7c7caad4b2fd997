-- One row a task: when it was created, how long it waited, how long it ran. Times in UTC, spans in seconds.
-- created_at is the API's word if it gives one, else the middle of the span in which the creation must lie, else
-- the one end of it that is known, else the start. created_error_seconds says how far off that can be: 0 if stated,
-- half of the span if both ends are known, null if nothing bounds it.
-- wait_seconds goes from there to the start, null where that would be negative. duration_seconds is the API's own
-- figure, or the time from start to completion. removed_at: when the source no longer had the task.
WITH measured AS (
    SELECT
        task_id, task_name, category, status, started_at, completed_at, total_time_sec, removed_at,
        micros(date_created) AS stated,
        micros(created_after) AS earliest,
        micros(created_before) AS latest,
        micros(started_at) AS started,
        micros(completed_at) AS completed
    FROM tasks
),
estimated AS (
    SELECT
        measured.*,
        CASE
            WHEN stated IS NOT NULL THEN stated
            WHEN earliest IS NOT NULL AND latest IS NOT NULL THEN (earliest + latest) / 2
            ELSE coalesce(latest, earliest, started)
        END AS created,
        CASE
            WHEN stated IS NOT NULL THEN 0
            WHEN earliest <= latest THEN latest - earliest
        END AS spread
    FROM measured
)
SELECT
    task_id,
    task_name,
    category,
    status,
    instant(created) AS created_at,
    seconds(spread) / 2 AS created_error_seconds,
    started_at,
    completed_at,
    CASE WHEN started >= created THEN seconds(started - created) END AS wait_seconds,
    coalesce(
        total_time_sec,
        CASE WHEN completed >= started THEN seconds(completed - started) END
    ) AS duration_seconds,
    removed_at
FROM estimated
