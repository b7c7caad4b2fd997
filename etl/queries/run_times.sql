-- How long do tasks run?
-- In seconds: half of the tasks, 95 and 99 of a hundred are done within that time.
SELECT
    task_name,
    category,
    n AS tasks,
    p50_seconds,
    p95_seconds,
    p99_seconds
FROM task_durations
ORDER BY n DESC, category
