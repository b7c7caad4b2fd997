-- How much speech is in the videos?
-- By requested language; null for automatic detection. The number of subtitles, the minutes they cover, and a lower
-- bound of the video length: the end of the last subtitle of each video.
SELECT
    tasks.audio_language,
    count(*) AS videos,
    sum(spoken.subtitles) AS subtitles,
    sum(spoken.seconds) / 60 AS spoken_minutes,
    sum(spoken.at_least_seconds) / 60 AS at_least_minutes
FROM (
    SELECT
        task_id,
        count(*) AS subtitles,
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
