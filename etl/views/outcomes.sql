-- One row per day (UTC), task type, category, language and host: how many tasks ended on that day, and in
-- which status. finished counts all of them. The day is that of completed_at, otherwise of changed_at, as
-- text 'YYYY-MM-DD'. host is the host of the video's URL in lower case, without port and credentials; null if
-- the URL has none. success_rate is succeeded / (succeeded + failed), from 0 to 1; null if all tasks were
-- revoked.
SELECT
    day,
    task_name,
    category,
    audio_language,
    host,
    count(*) AS finished,
    sum(CASE WHEN status = 'SUCCESS' THEN 1 ELSE 0 END) AS succeeded,
    sum(CASE WHEN status = 'FAILURE' THEN 1 ELSE 0 END) AS failed,
    sum(CASE WHEN status = 'REVOKED' THEN 1 ELSE 0 END) AS revoked,
    avg(CAST(CASE status WHEN 'SUCCESS' THEN 1 WHEN 'FAILURE' THEN 0 END AS DOUBLE PRECISION)) AS success_rate
FROM (
    SELECT
        utc_day(coalesce(completed_at, changed_at)) AS day,
        task_name,
        category,
        audio_language,
        status,
        CASE
            -- Most URLs match one of these two cases; the general rule below takes four times as long.
            WHEN substr(url, 1, 8) = 'https://' AND is_plain(substr(url, 9, place(substr(url, 9) || '/', '/') - 1))
            THEN nullif(ascii_lower(substr(url, 9, place(substr(url, 9) || '/', '/') - 1)), '')
            WHEN substr(url, 1, 7) = 'http://' AND is_plain(substr(url, 8, place(substr(url, 8) || '/', '/') - 1))
            THEN nullif(ascii_lower(substr(url, 8, place(substr(url, 8) || '/', '/') - 1)), '')
            -- A scalar subquery, not a FROM: SQLite would inline each part of the URL wherever it is used, and
            -- compute it again there.
            ELSE (
                SELECT ascii_lower(host)
                FROM (
                    SELECT
                        -- The host without the port; an address in brackets keeps its colons.
                        nullif(
                            CASE
                                WHEN substr(address, 1, 1) = '[' THEN substr(address, 1, place(address || ']', ']'))
                                ELSE substr(address, 1, place(address || ':', ':') - 1)
                            END,
                            ''
                        ) AS host
                    FROM (
                        -- The text after the last @, which is where rtrim of all other characters stops.
                        SELECT
                            substr(authority, length(rtrim(authority, replace(authority, '@', ''))) + 1) AS address
                        FROM (
                            SELECT substr(after_scheme, 1, place(after_scheme, '/') - 1) AS authority
                            FROM (
                                -- The text before :// is a scheme only if no other delimiter precedes it.
                                SELECT
                                    CASE
                                        WHEN place(url, '://') > 1
                                            AND place(url, ':') = place(url, '://')
                                            AND place(replace(replace(url, '?', '/'), '#', '/'), '/')
                                            = place(url, '://') + 1
                                        THEN
                                            replace(replace(substr(url, place(url, '://') + 3), '?', '/'), '#', '/')
                                            || '/'
                                    END AS after_scheme
                            ) AS cut
                        ) AS before_path
                    ) AS without_user
                ) AS named
            )
        END AS host
    FROM tasks
    WHERE status IN ('SUCCESS', 'FAILURE', 'REVOKED')
) AS ended
GROUP BY day, task_name, category, audio_language, host
