SELECT
    status AS from_status,
    next_status AS to_status,
    count(*) AS transitions,
    count(DISTINCT task_id) AS tasks,
    mean_seconds(stayed) AS mean_seconds
FROM (
    SELECT task_id, status, next_status, is_gone, micros(valid_to) - micros(valid_from) AS stayed
    FROM (spans()) AS spans
    -- All of them. Without a limit SQLite would look up twice what followed a stretch: once more to filter by it.
    LIMIT 9223372036854775807
) AS steps
WHERE is_gone = 0
GROUP BY status, next_status
