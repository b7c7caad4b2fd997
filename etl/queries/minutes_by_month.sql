-- How many processing minutes did tasks take each month?
-- For all tasks and for succeeded ones. This is not the bill: Gcore bills by the length of the analysed videos, which
-- the API does not state.
SELECT
    substr(day, 1, 7) AS month,
    task_name,
    sum(tasks) AS tasks,
    sum(processed_minutes) AS processed_minutes,
    sum(succeeded_minutes) AS succeeded_minutes
FROM minutes_daily
GROUP BY month, task_name
ORDER BY month, task_name
