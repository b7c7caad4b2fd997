-- How long do tasks wait before they start?
-- The median (p50) and p95, in seconds, of the tasks whose creation time is known: the API states it, or it lies
-- between two known times, whose middle is used.
SELECT
    task_name,
    category,
    n AS tasks,
    p50_seconds,
    p95_seconds
FROM task_waits
ORDER BY n DESC, task_name, coalesce(category, '')
