-- Which tasks were deleted?
-- Deleted tasks stay in the database, marked as removed. The column result is 'archived' if the task's result is stored
-- as well, otherwise null.
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
