-- One row per pending result: of a task in SUCCESS or FAILURE, removed ones included, whose result is neither
-- archived nor expired. The API keeps a result for at least 30 days after completed_at: expires_at is the
-- earliest time at which it may expire. days_left counts from now to expires_at, and is negative once that
-- has passed. state is null if the result was never requested.
SELECT
    task_id,
    task_name,
    category,
    status,
    completed_at,
    instant(expires) AS expires_at,
    seconds(expires - now_at) / 86400 AS days_left,
    state,
    attempts,
    next_attempt_at,
    removed_at
-- Two halves, each with its own index, because few results are pending and the history is long.
FROM (
    SELECT
        tasks.task_id, tasks.task_name, tasks.category, tasks.status, tasks.completed_at, tasks.removed_at,
        micros(tasks.completed_at) + 2592000000000 AS expires,
        now_micros() AS now_at,
        task_results.state, task_results.attempts, task_results.next_attempt_at
    FROM tasks
    LEFT JOIN task_results ON task_results.task_id = tasks.task_id
    WHERE is_result_due AND coalesce(task_results.state, '') NOT IN ('archived', 'expired')
    UNION ALL
    SELECT
        tasks.task_id, tasks.task_name, tasks.category, tasks.status, tasks.completed_at, tasks.removed_at,
        micros(tasks.completed_at) + 2592000000000,
        now_micros(),
        task_results.state, task_results.attempts, task_results.next_attempt_at
    FROM task_results
    JOIN tasks ON tasks.task_id = task_results.task_id
    WHERE task_results.state = 'unavailable' AND NOT tasks.is_result_due
) AS pending
