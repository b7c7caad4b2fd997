-- One row per transcription with subtitles: a lower bound for the length of its video, in seconds: the end of
-- its last subtitle. Gcore bills by the length of the analysed video, which neither the API nor this database
-- states.
SELECT task_id, count(*) AS lines, max(end_seconds) AS at_least_seconds
FROM subtitles
GROUP BY task_id
