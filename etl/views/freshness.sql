-- One row: how up to date the database is. Timestamps are in UTC. synced_at is the start of the last
-- incremental or full sync that succeeded, age_seconds the time since then. All tasks created before
-- watermark are stored. last_full_at is the time of the last complete scan, which detects deleted tasks.
-- present_tasks is the number of tasks that are not marked as removed. failed_since is the number of syncs
-- that failed after synced_at.
SELECT
    last_sync.started_at AS synced_at,
    seconds(now_micros() - micros(last_sync.started_at)) AS age_seconds,
    sync_state.watermark,
    sync_state.last_full_at,
    sync_state.present_tasks,
    (
        SELECT count(*)
        FROM sync_runs
        WHERE status = 'failed' AND run_id > coalesce(last_sync.run_id, 0)
    ) AS failed_since
FROM sync_state
LEFT JOIN sync_runs AS last_sync
    ON last_sync.run_id = (
        SELECT max(run_id)
        FROM sync_runs
        WHERE status = 'succeeded' AND mode IN ('incremental', 'full')
    )
