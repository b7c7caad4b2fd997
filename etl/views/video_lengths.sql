-- One row a transcription with subtitles: how long its video is at least, in seconds, which is the end of its last
-- subtitle. Gcore bills the length of the analysed video; the API does not state it, and nothing here does.
SELECT task_id, count(*) AS lines, max(end_seconds) AS at_least_seconds
FROM subtitles
GROUP BY task_id
