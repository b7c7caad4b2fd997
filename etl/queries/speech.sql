-- How much is said in the videos?
-- By the language that was asked for; null where it was left to automatic detection. How many lines, how many minutes
-- of the videos they cover, and how long the videos are at least: up to the end of the last line of each.
SELECT
    tasks.audio_language,
    count(*) AS videos,
    sum(spoken.lines) AS lines,
    sum(spoken.seconds) / 60 AS spoken_minutes,
    sum(spoken.at_least_seconds) / 60 AS at_least_minutes
FROM (
    SELECT
        task_id,
        count(*) AS lines,
        sum(end_seconds - start_seconds) AS seconds,
        max(end_seconds) AS at_least_seconds
    FROM subtitles
    GROUP BY task_id
) AS spoken
INNER JOIN tasks
    ON tasks.task_id = spoken.task_id
GROUP BY tasks.audio_language
ORDER BY spoken_minutes DESC
LIMIT 5
