-- Which languages are spoken in the videos?
-- As the results say, which may differ from what was asked for. A video may have several.
-- SQLite:
SELECT
    spoken.value AS language,
    count(*) AS videos
FROM task_results AS results
INNER JOIN json_each(results.languages) AS spoken
GROUP BY language
ORDER BY videos DESC, language
LIMIT 8
-- Postgres:
SELECT
    spoken.value AS language,
    count(*) AS videos
FROM task_results AS results
CROSS JOIN jsonb_array_elements_text(results.languages) AS spoken (value)
GROUP BY language
ORDER BY videos DESC, language
LIMIT 8
