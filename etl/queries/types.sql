-- How many tasks are there of each type, and what became of them?
-- Also those that are gone at the source: removed_at says which.
SELECT
    task_name,
    category,
    count(*) AS tasks,
    count(*) FILTER (WHERE status = 'SUCCESS') AS succeeded,
    count(*) FILTER (WHERE status = 'FAILURE') AS failed,
    count(*) FILTER (WHERE status = 'REVOKED') AS revoked,
    count(*) FILTER (WHERE removed_at IS NOT NULL) AS gone
FROM tasks
GROUP BY task_name, category
ORDER BY tasks DESC, category
