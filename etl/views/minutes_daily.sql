-- One row per day (UTC), task type and category: the processing time, in minutes, of the tasks that ended on
-- that day, in SUCCESS, FAILURE or REVOKED. succeeded_minutes counts successful tasks only. Gcore bills by
-- the length of the analysed video instead, which the API does not state; video_lengths has a lower bound.
-- The day is that of completed_at, otherwise of changed_at, as text 'YYYY-MM-DD'.
SELECT
    day,
    task_name,
    category,
    count(*) AS tasks,
    coalesce(seconds(sum(duration_micros)), 0) / 60 AS processed_minutes,
    coalesce(seconds(sum(CASE WHEN status = 'SUCCESS' THEN duration_micros END)), 0) / 60 AS succeeded_minutes
FROM (
    SELECT
        utc_day(coalesce(task_timeline.completed_at, tasks.changed_at)) AS day,
        tasks.task_name,
        tasks.category,
        tasks.status,
        CAST(round(task_timeline.duration_seconds * 1000000) AS BIGINT) AS duration_micros
    FROM tasks
    JOIN task_timeline ON task_timeline.task_id = tasks.task_id
    WHERE tasks.status IN ('SUCCESS', 'FAILURE', 'REVOKED')
) AS ended
GROUP BY day, task_name, category
