-- How many minutes were processed each month, and how many of them are billed?
-- Only SUCCESS is billed. What a minute costs is in your contract.
SELECT
    substr(day, 1, 7) AS month,
    task_name,
    sum(tasks) AS tasks,
    sum(processed_minutes) AS processed_minutes,
    sum(billed_minutes) AS billed_minutes
FROM minutes_daily
GROUP BY month, task_name
ORDER BY month, task_name
