-- Which days brought the most tasks?
-- By the day on which they were created, in UTC. Where the API does not state it, task_timeline estimates it: what the
-- first sync found waiting counts on the day of that sync.
SELECT
    day,
    sum(tasks) AS tasks,
    sum(total_seconds) / 3600 AS hours_run
FROM task_daily
WHERE day IS NOT NULL
GROUP BY day
ORDER BY tasks DESC, day
LIMIT 5
