-- Which tasks ran far longer than others of their type?
-- Tasks whose processing time is above the 99th percentile for their task type and category; times_p99 is the ratio to
-- that percentile.
SELECT
    timeline.task_id,
    timeline.task_name,
    timeline.status,
    timeline.duration_seconds,
    timeline.duration_seconds / usual.p99_seconds AS times_p99
FROM task_timeline AS timeline
INNER JOIN task_durations AS usual
    ON coalesce(usual.task_name, '') = coalesce(timeline.task_name, '')
    AND coalesce(usual.category, '') = coalesce(timeline.category, '')
WHERE timeline.duration_seconds > usual.p99_seconds
ORDER BY times_p99 DESC, timeline.task_id
LIMIT 5
