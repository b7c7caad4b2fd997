-- How many tasks were in flight at each sync?
-- Past states, which the API does not keep: the number in flight at the watermark of each sync. Each change of a task
-- adds one to its new status and subtracts one from its previous status; the running total at a watermark is the number
-- in flight at that time. Syncs with no task in flight are omitted.
WITH changes AS (
    SELECT
        at,
        status,
        lag(status) OVER (PARTITION BY task_id ORDER BY history_id) AS previous
    FROM (
        SELECT
            task_id,
            history_id,
            observed_at AS at,
            CASE WHEN event <> 'removed' THEN status END AS status
        FROM task_history
    ) AS observed
),
steps AS (
    SELECT
        at,
        count(*) FILTER (WHERE status = 'PENDING') - count(*) FILTER (WHERE previous = 'PENDING') AS pending,
        count(*) FILTER (WHERE status = 'STARTED') - count(*) FILTER (WHERE previous = 'STARTED') AS started,
        count(*) FILTER (WHERE status NOT IN ('SUCCESS', 'FAILURE', 'REVOKED'))
        - count(*) FILTER (WHERE previous NOT IN ('SUCCESS', 'FAILURE', 'REVOKED')) AS in_flight
    FROM changes
    GROUP BY at
),
moments AS (
    SELECT NULL AS run_id, at, pending, started, in_flight
    FROM steps
    UNION ALL
    SELECT run_id, watermark_after, 0, 0, 0
    FROM sync_runs
    WHERE watermark_after IS NOT NULL
),
counted AS (
    SELECT
        run_id,
        at,
        CAST(sum(pending) OVER so_far AS INTEGER) AS pending,
        CAST(sum(started) OVER so_far AS INTEGER) AS started,
        CAST(sum(in_flight) OVER so_far AS INTEGER) AS in_flight
    FROM moments
    WINDOW so_far AS (ORDER BY at, run_id IS NOT NULL ROWS UNBOUNDED PRECEDING)
)
SELECT
    run_id,
    at,
    pending,
    started,
    in_flight
FROM counted
WHERE run_id IS NOT NULL AND in_flight > 0
ORDER BY run_id
