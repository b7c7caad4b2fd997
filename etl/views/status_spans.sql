-- One row a stretch of time in which a task kept one status, as the syncs observed it (changes of progress are
-- no change of status). Times in UTC; valid_from is included, valid_to is not, and null while the status lasts.
-- A stretch ends, too, when the source no longer has the task. seconds is null while the status lasts.
-- history_id is the row of task_history that opened the stretch: the order within a task.
SELECT task_id, status, valid_from, valid_to, seconds(stayed) AS seconds, history_id
FROM (spans()) AS spans
