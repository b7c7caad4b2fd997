-- One row per task that was restarted, as observed by the syncs. retried is how often it changed to RETRY;
-- fell_back how often it returned to PENDING or RECEIVED from STARTED or RETRY. last_at (UTC) is when the
-- last of these was observed; status is the present status.
SELECT
    task_history.task_id,
    tasks.task_name,
    tasks.category,
    tasks.status,
    sum(CASE WHEN task_history.status = 'RETRY' THEN 1 ELSE 0 END) AS retried,
    sum(CASE WHEN task_history.status = 'RETRY' THEN 0 ELSE 1 END) AS fell_back,
    max(task_history.observed_at) AS last_at,
    tasks.url
FROM task_history
JOIN tasks ON tasks.task_id = task_history.task_id
WHERE
    task_history.event <> 'removed'
    AND (
        (task_history.status = 'RETRY' AND coalesce(task_history.previous_status, '') <> 'RETRY')
        OR (task_history.status IN ('PENDING', 'RECEIVED') AND task_history.previous_status IN ('STARTED', 'RETRY'))
    )
GROUP BY task_history.task_id, tasks.task_name, tasks.category, tasks.status, tasks.url
