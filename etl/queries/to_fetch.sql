-- How many results are pending, and when could the first one expire?
-- The API keeps each result for one month: at least 30 days.
SELECT
    task_name,
    count(*) AS results,
    min(expires_at) AS first_lost_at
FROM results_expiring
GROUP BY task_name
ORDER BY results DESC, task_name
