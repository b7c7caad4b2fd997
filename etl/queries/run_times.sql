-- How long do tasks run?
-- The median (p50), p95 and p99 of the processing time, in seconds.
SELECT
    task_name,
    category,
    n AS tasks,
    p50_seconds,
    p95_seconds,
    p99_seconds
FROM task_durations
ORDER BY n DESC, category
