-- One row per pair of statuses: how often tasks changed from the first to the second, how many tasks did, and
-- how long they had kept the first on average, in seconds. If a task was marked as removed and reappeared,
-- that is not a transition.
SELECT
    status AS from_status,
    next_status AS to_status,
    count(*) AS transitions,
    count(DISTINCT task_id) AS tasks,
    mean_seconds(stayed) AS mean_seconds
FROM (
    SELECT task_id, status, next_status, is_gone, stayed
    FROM (spans()) AS spans
    -- The huge LIMIT keeps SQLite from inlining the subquery and computing its columns again at every use.
    LIMIT 9223372036854775807
) AS steps
WHERE is_gone = 0
GROUP BY status, next_status
