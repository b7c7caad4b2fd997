-- One row per pending result: one that a later sync will request, even if its task is marked as removed. The API
-- keeps a result for at least 30 days after completed_at: expires_at is the earliest time at which it may
-- expire. days_left counts from now to expires_at, and is negative once that has passed. state, attempts and
-- next_attempt_at are null if the result was not requested since the task finished; state is 'archived' if
-- the task ran again and the result of its earlier run is stored.
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
    FROM task_results
    JOIN tasks ON tasks.task_id = task_results.task_id
    WHERE task_results.state IN ('unavailable', 'archived')
        AND task_results.next_attempt_at IS NOT NULL
        AND NOT tasks.is_result_due
    UNION ALL
    SELECT
        task_id, task_name, category, status, completed_at, removed_at,
        micros(completed_at) + 2592000000000,
        now_micros(),
        NULL, NULL, NULL
    FROM tasks
    WHERE is_result_due
) AS pending
