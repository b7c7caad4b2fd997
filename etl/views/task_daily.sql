-- One row a day, type and status: the tasks created on that day (in UTC, by the estimate of task_timeline).
-- day is text, 'YYYY-MM-DD'; null holds the tasks of which no time is known.
-- total_seconds is the time they ran, 0 where none has run.
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
