-- In how many milliseconds the next replay may go on; no row where none is running. Index: replay_running.
select greatest(0, ceil(extract(epoch from min(next_at) - clock_timestamp()) * 1000))::bigint as due_ms
  from replay
 where state = 'running'
having count(*) > 0
