-- What was under way at each sync?
-- The state of the past, which the API does not keep: at the time up to which a sync had read everything. Each change
-- of a task counts one up and one down, and the sum up to a sync is what was under way then.
WITH changes AS (
    SELECT
        at,
        status,
        lag(status) OVER (PARTITION BY task_id ORDER BY history_id) AS was
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
        count(*) FILTER (WHERE status = 'PENDING') - count(*) FILTER (WHERE was = 'PENDING') AS pending,
        count(*) FILTER (WHERE status = 'STARTED') - count(*) FILTER (WHERE was = 'STARTED') AS started,
        count(*) FILTER (WHERE status NOT IN ('SUCCESS', 'FAILURE', 'REVOKED'))
        - count(*) FILTER (WHERE was NOT IN ('SUCCESS', 'FAILURE', 'REVOKED')) AS under_way
    FROM changes
    GROUP BY at
),
moments AS (
    SELECT NULL AS run_id, at, pending, started, under_way
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
        CAST(sum(under_way) OVER so_far AS INTEGER) AS under_way
    FROM moments
    WINDOW so_far AS (ORDER BY at, run_id IS NOT NULL ROWS UNBOUNDED PRECEDING)
)
SELECT
    run_id,
    at,
    pending,
    started,
    under_way
FROM counted
WHERE run_id IS NOT NULL AND under_way > 0
ORDER BY run_id
