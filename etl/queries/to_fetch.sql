-- Which results are not copied yet, and when would the first be lost?
-- The API keeps a result for a month.
SELECT
    task_name,
    count(*) AS results,
    min(expires_at) AS first_lost_at
FROM results_expiring
GROUP BY task_name
ORDER BY results DESC, task_name
