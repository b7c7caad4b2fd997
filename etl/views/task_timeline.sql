-- One row per task: when it was created, how long it waited, and its processing time. Timestamps are in UTC,
-- durations in seconds. created_at is the time the API states; otherwise the midpoint of the interval in
-- which the task must have been created, else the one known bound, else started_at. created_error_seconds is
-- the maximum error of created_at: 0 if the API states it, half the interval if both bounds are known,
-- otherwise null. wait_seconds is the time from created_at to started_at; null if created_error_seconds is
-- null or the difference is negative. duration_seconds is the processing time: the API's own figure,
-- otherwise the time from started_at to completed_at. removed_at is when a sync marked the task as removed.
SELECT
    task_id,
    task_name,
    category,
    status,
    instant(created) AS created_at,
    seconds(spread) / 2 AS created_error_seconds,
    started_at,
    completed_at,
    CASE
        WHEN (date_created IS NOT NULL OR created_after <= created_before) AND micros(started_at) >= created
        THEN seconds(micros(started_at) - created)
    END AS wait_seconds,
    coalesce(
        total_time_sec,
        CASE WHEN completed_at >= started_at THEN seconds(micros(completed_at) - micros(started_at)) END
    ) AS duration_seconds,
    removed_at
-- A subquery, not a WITH, which Postgres would compute for all tasks even if a join needs only a few.
FROM (
    SELECT
        tasks.*,
        -- The timestamps themselves are compared, because SQLite computes an expression again at every use.
        CASE
            WHEN date_created IS NULL AND created_after IS NOT NULL AND created_before IS NOT NULL
                THEN (micros(created_after) + micros(created_before)) / 2
            ELSE micros(coalesce(date_created, created_before, created_after, started_at))
        END AS created,
        CASE
            WHEN date_created IS NOT NULL THEN 0
            WHEN created_after <= created_before THEN micros(created_before) - micros(created_after)
        END AS spread
    FROM tasks
) AS estimated
