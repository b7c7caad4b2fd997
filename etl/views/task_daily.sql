-- One row per day (UTC), task type and status: the tasks created on that day. The day is that of
-- task_timeline.created_at, as text 'YYYY-MM-DD'; null if the creation time is unknown. total_seconds is the
-- total processing time, 0 if none is known.
SELECT day, task_name, status, count(*) AS tasks, coalesce(seconds(sum(duration_micros)), 0) AS total_seconds
FROM (
    SELECT
        utc_day(created_at) AS day,
        task_name,
        status,
        CAST(round(duration_seconds * 1000000) AS BIGINT) AS duration_micros
    FROM task_timeline
) AS dated
GROUP BY day, task_name, status
