-- A replay that somebody asks for; its jobs are chosen in the same transaction.
insert into replay (requested_by, reason, filter, rate_per_second, state)
values ($1, $2, $3, $4, 'running')
returning replay_no
