-- Which users have the longest total processing time?
-- By the client_user_id of the task; null for tasks without one.
SELECT
    tasks.client_user_id,
    count(*) AS tasks,
    sum(timeline.duration_seconds) / 60 AS processed_minutes,
    sum(CASE WHEN tasks.status = 'SUCCESS' THEN timeline.duration_seconds ELSE 0 END) / 60 AS succeeded_minutes
FROM tasks
INNER JOIN task_timeline AS timeline
    ON timeline.task_id = tasks.task_id
WHERE timeline.duration_seconds IS NOT NULL
GROUP BY tasks.client_user_id
ORDER BY processed_minutes DESC
LIMIT 5
