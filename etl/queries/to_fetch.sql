-- Which results are not archived yet, and when does the first one expire?
-- The API keeps a result for a month.
SELECT
    task_name,
    count(*) AS results,
    min(expires_at) AS first_lost_at
FROM results_expiring
GROUP BY task_name
ORDER BY results DESC, task_name
