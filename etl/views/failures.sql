-- One row per task in FAILURE, with the error from its result and the video's URL. error is null if the
-- result is not archived. failed_at (UTC) is completed_at, otherwise changed_at.
SELECT
    tasks.task_id,
    tasks.task_name,
    tasks.category,
    coalesce(tasks.completed_at, tasks.changed_at) AS failed_at,
    task_results.error,
    tasks.url,
    tasks.client_user_id,
    tasks.client_entity_data,
    tasks.removed_at
FROM tasks
LEFT JOIN task_results ON task_results.task_id = tasks.task_id
WHERE tasks.status = 'FAILURE'
