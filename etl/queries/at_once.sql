-- What is the largest number of tasks that ran at the same time, and when?
-- Each start adds one, and each completion subtracts one. Tasks without a start or completion time are omitted.
SELECT
    moment,
    running
FROM (
    SELECT
        moment,
        sum(step) OVER (ORDER BY moment, step ROWS UNBOUNDED PRECEDING) AS running
    FROM (
        SELECT started_at AS moment, 1 AS step
        FROM tasks
        WHERE started_at IS NOT NULL AND completed_at IS NOT NULL
        UNION ALL
        SELECT completed_at AS moment, -1 AS step
        FROM tasks
        WHERE started_at IS NOT NULL AND completed_at IS NOT NULL
    ) AS steps
) AS counted
ORDER BY running DESC, moment
LIMIT 1
