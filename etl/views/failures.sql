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
