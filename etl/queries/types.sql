-- How many tasks of each type are there, and how did they end?
-- By task type and category. Includes tasks that are marked as removed.
SELECT
    task_name,
    category,
    count(*) AS tasks,
    count(*) FILTER (WHERE status = 'SUCCESS') AS succeeded,
    count(*) FILTER (WHERE status = 'FAILURE') AS failed,
    count(*) FILTER (WHERE status = 'REVOKED') AS revoked,
    count(*) FILTER (WHERE removed_at IS NOT NULL) AS removed
FROM tasks
GROUP BY task_name, category
ORDER BY tasks DESC, category
