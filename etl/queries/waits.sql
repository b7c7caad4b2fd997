-- How long do tasks wait for their start?
-- In seconds, of the tasks that a sync saw come: of those alone it is known when they were created, to within some
-- minutes.
SELECT
    task_name,
    category,
    n AS tasks,
    p50_seconds,
    p95_seconds
FROM task_waits
ORDER BY n DESC, task_name, coalesce(category, '')
