-- How much is said in the videos?
-- By the language that was asked for: how many lines, and how many minutes of the videos they cover.
SELECT
    tasks.audio_language,
    count(DISTINCT subtitles.task_id) AS videos,
    count(*) AS lines,
    sum(subtitles.end_seconds - subtitles.start_seconds) / 60 AS minutes
FROM subtitles
INNER JOIN tasks
    ON tasks.task_id = subtitles.task_id
GROUP BY tasks.audio_language
ORDER BY minutes DESC
LIMIT 5
