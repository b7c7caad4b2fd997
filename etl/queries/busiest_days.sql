-- On which days were the most tasks created?
-- Days are UTC days. If the API does not return the creation time, task_timeline estimates it; tasks that existed
-- before the first sync are counted on the day on which they started, or on the day of that sync if they had not
-- started.
SELECT
    day,
    sum(tasks) AS tasks,
    sum(total_seconds) / 3600 AS hours_run
FROM task_daily
WHERE day IS NOT NULL
GROUP BY day
ORDER BY tasks DESC, day
LIMIT 5
