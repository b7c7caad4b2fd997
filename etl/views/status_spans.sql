SELECT task_id, status, valid_from, valid_to, seconds(stayed) AS seconds, history_id
FROM (spans()) AS spans
