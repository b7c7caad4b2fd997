-- One row per task in flight: its status is not terminal, and it is not marked as removed. Timestamps are in
-- UTC, durations in seconds until now. age_seconds is the time since task_timeline.created_at, otherwise
-- since a sync first saw the task; unchanged_seconds is the time since a sync last saw the task change.
SELECT
    task_id,
    task_name,
    category,
    status,
    progress,
    created_at,
    started_at,
    seconds(now_at - born) AS age_seconds,
    seconds(now_at - changed) AS unchanged_seconds,
    url
FROM (
    SELECT
        tasks.task_id, tasks.task_name, tasks.category, tasks.status, tasks.progress, tasks.url, tasks.started_at,
        task_timeline.created_at,
        coalesce(micros(task_timeline.created_at), micros(tasks.first_seen_at)) AS born,
        micros(tasks.changed_at) AS changed,
        now_micros() AS now_at
    FROM tasks
    JOIN task_timeline ON task_timeline.task_id = tasks.task_id
    WHERE
        tasks.removed_at IS NULL
        AND coalesce(tasks.status, '') NOT IN ('FAILURE', 'REVOKED', 'SUCCESS')
) AS timed
