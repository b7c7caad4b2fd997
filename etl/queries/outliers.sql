-- Which tasks ran far longer than others of their type?
-- Those above the 99th percentile of the processing times of their task type and category, as a multiple of it.
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
