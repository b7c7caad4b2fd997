SELECT task_id, status, valid_from, valid_to, seconds(micros(valid_to) - micros(valid_from)) AS seconds, history_id
FROM (spans()) AS spans
