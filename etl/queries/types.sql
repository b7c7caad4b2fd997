-- How many tasks of each type are there, and how did they end?
-- Includes tasks that were removed at the source.
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
