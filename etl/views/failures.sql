-- One row a task in FAILURE, with the error its result gave (null if that was not fetched) and the video's URL.
-- failed_at, in UTC, is the completion, or where the API gives none, when the sync saw the change.
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
