-- One row per period during which a task kept one status, as observed by the syncs. Timestamps are in UTC;
-- valid_from is inclusive, valid_to exclusive. valid_to and seconds are null while the task still has the
-- status. A period also ends when the task is marked as removed. A change of progress does not end it.
-- history_id is the row of task_history that opened the period; it orders the periods of a task.
SELECT task_id, status, valid_from, valid_to, seconds(stayed) AS seconds, history_id
FROM (spans()) AS spans
