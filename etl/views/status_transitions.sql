-- One row per pair of statuses: how often tasks changed from one to the other, how many tasks did, and how
-- long they had kept the first on average, in seconds. If a task was removed at the source and reappeared,
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
    -- The limit is no limit: without one, SQLite would evaluate the next status twice, once more for the filter.
    LIMIT 9223372036854775807
) AS steps
WHERE is_gone = 0
GROUP BY status, next_status
