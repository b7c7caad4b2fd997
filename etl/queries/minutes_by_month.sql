-- How many minutes did tasks run each month?
-- Processing time, of all tasks and of those that succeeded. It says nothing about the bill: Gcore bills the length of
-- the analysed videos, which the API does not state.
SELECT
    substr(day, 1, 7) AS month,
    task_name,
    sum(tasks) AS tasks,
    sum(processed_minutes) AS processed_minutes,
    sum(succeeded_minutes) AS succeeded_minutes
FROM minutes_daily
GROUP BY month, task_name
ORDER BY month, task_name
