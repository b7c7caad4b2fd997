-- The periods in which tasks kept one status. stayed is the length in microseconds, and next_status the status that
-- followed; is_gone = 1 if the task was marked as removed instead. All three are null while the task has the status.
-- SQLite:
SELECT
    task_id,
    history_id,
    status,
    valid_from,
    substr(following, 1, 26) AS valid_to,
    -- micros(following) - micros(valid_from), in fewer steps.
    CAST(
        round((julianday(substr(following, 1, 19)) - julianday(substr(valid_from, 1, 19))) * 86400) AS INTEGER
    ) * 1000000 + substr(following, 21, 6) - substr(valid_from, 21, 6) AS stayed,
    substr(following, 27, 1) = '-' AS is_gone,
    CASE substr(following, 27, 1) WHEN '=' THEN substr(following, 28) END AS next_status
FROM (
    -- All rows are distinct anyway: DISTINCT keeps SQLite from inlining the subquery and computing `following`
    -- again at every use.
    SELECT DISTINCT
        opened.task_id,
        opened.history_id,
        opened.status,
        opened.observed_at AS valid_from,
        -- The next row with another status or a removal, encoded as one string: timestamp, marker, status. The
        -- search skips rows with the same status; none is skipped twice, because only the first of them opens a
        -- period.
        (
            SELECT
                later.observed_at
                || CASE WHEN later.event = 'removed' THEN '-' ELSE coalesce('=' || later.status, '?') END
            FROM task_history AS later
            WHERE
                later.task_id = opened.task_id
                AND later.history_id > opened.history_id
                AND (later.event = 'removed' OR later.status IS NOT opened.status)
            ORDER BY later.history_id
            LIMIT 1
        ) AS following
    FROM task_history AS opened
    WHERE
        opened.event <> 'removed'
        AND (
            SELECT earlier.event = 'removed' OR earlier.status IS NOT opened.status
            FROM task_history AS earlier
            WHERE earlier.task_id = opened.task_id AND earlier.history_id < opened.history_id
            ORDER BY earlier.history_id DESC
            LIMIT 1
        ) IS NOT 0
) AS opening
-- Postgres:
SELECT
    task_id,
    history_id,
    status,
    valid_from,
    valid_to,
    micros(valid_to) - micros(valid_from) AS stayed,
    is_gone,
    next_status
FROM (
    SELECT
        task_id,
        history_id,
        status,
        event,
        observed_at AS valid_from,
        lead(observed_at) OVER in_order AS valid_to,
        lead(CASE event WHEN 'removed' THEN 1 ELSE 0 END) OVER in_order AS is_gone,
        lead(CASE WHEN event <> 'removed' THEN status END) OVER in_order AS next_status
    FROM (
        SELECT compared.*, lag(state, 1, '') OVER (PARTITION BY task_id ORDER BY history_id) AS previous_state
        FROM (
            SELECT
                task_id,
                history_id,
                observed_at,
                event,
                status,
                CASE
                    WHEN event = 'removed' THEN 'gone'
                    WHEN status IS NULL THEN 'there'
                    ELSE 'there: ' || status
                END AS state
            FROM task_history
        ) AS compared
    ) AS turned
    WHERE state <> previous_state
    WINDOW in_order AS (PARTITION BY task_id ORDER BY history_id)
) AS opening
WHERE event <> 'removed'
