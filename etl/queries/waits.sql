-- How long do tasks wait before they start?
-- The median (p50) and p95, in seconds, of the tasks that appeared between two syncs: only their creation time is
-- known, to within a few minutes.
SELECT
    task_name,
    category,
    n AS tasks,
    p50_seconds,
    p95_seconds
FROM task_waits
ORDER BY n DESC, task_name, coalesce(category, '')
