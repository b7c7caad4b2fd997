-- How many results are pending, and when may the first one expire?
-- The API keeps a result for at least 30 days.
SELECT
    task_name,
    count(*) AS results,
    min(expires_at) AS first_lost_at
FROM results_expiring
GROUP BY task_name
ORDER BY results DESC, task_name
