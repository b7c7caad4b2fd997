-- One row a pair of statuses: how often tasks went from the one to the other, how many tasks did, and how long
-- they had been in the first, in seconds on average. A gap, while the source did not have the task, is no step.
SELECT
    status AS from_status,
    next_status AS to_status,
    count(*) AS transitions,
    count(DISTINCT task_id) AS tasks,
    mean_seconds(stayed) AS mean_seconds
FROM (
    SELECT task_id, status, next_status, is_gone, stayed
    FROM (spans()) AS spans
    -- All of them. Without a limit SQLite would look up twice what followed a stretch: once more to filter by it.
    LIMIT 9223372036854775807
) AS steps
WHERE is_gone = 0
GROUP BY status, next_status
