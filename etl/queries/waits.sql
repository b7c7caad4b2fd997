-- How long do tasks wait before they start?
-- The median (p50) and p95, in seconds, of the tasks whose creation time is known: the API returns it, or it is
-- estimated as the midpoint between two known times.
SELECT
    task_name,
    category,
    n AS tasks,
    p50_seconds,
    p95_seconds
FROM task_waits
ORDER BY n DESC, task_name, coalesce(category, '')
