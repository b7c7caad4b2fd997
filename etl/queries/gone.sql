-- What is no longer at the source, and still here?
-- result says whether its result is here as well: archived, or null.
SELECT
    tasks.task_id,
    tasks.task_name,
    tasks.status,
    tasks.removed_at,
    results.state AS result
FROM tasks
LEFT JOIN task_results AS results
    ON results.task_id = tasks.task_id AND results.state = 'archived'
WHERE tasks.removed_at IS NOT NULL
ORDER BY tasks.removed_at DESC, tasks.task_id
LIMIT 5
