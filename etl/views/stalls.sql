-- One row per task in flight that no sync has seen change for at least an hour. Durations are in seconds
-- until now. usual_seconds is the 95th percentile of the processing times of its task type and category; null
-- if none is known.
SELECT
    in_flight.task_id,
    in_flight.task_name,
    in_flight.category,
    in_flight.status,
    in_flight.progress,
    in_flight.created_at,
    in_flight.age_seconds,
    in_flight.unchanged_seconds,
    task_durations.p95_seconds AS usual_seconds,
    in_flight.url
FROM in_flight
LEFT JOIN task_durations
    ON coalesce(task_durations.task_name, '') = coalesce(in_flight.task_name, '')
    AND coalesce(task_durations.category, '') = coalesce(in_flight.category, '')
WHERE in_flight.unchanged_seconds >= 3600
