-- Reconciles of strict partnerships that an operator has put right: for each an event of our own, which says the flags
-- as they are, a change as the cause of the job, and a letter in the downstream's mailbox, at the place of the event.
-- $1, $2: numbers of events and changes; $3, $4: upstreams and downstreams; $5: how many entries each goes through.
-- Partnerships that are not strict any more are left out. Index: partnership_pkey. Takes no lock on a shard, as
-- ingest: what the letter finds decides when it runs.
with repair as materialized (
     select r.*, p.status, p.exclusive, p.data_sync, p.allow_downstream_edit
       from unnest($1::bigint[], $2::bigint[], $3::int[], $4::int[], $5::bigint[])
            r (event_no, change_no, upstream_no, downstream_no, weight)
       join partnership p using (upstream_no, downstream_no)
      where p.mode = 'strict'
), events as (
     insert into event (event_no, source, event_id, content, type, organization_no, downstream_no, payload, verdict)
     select event_no, 'channel-sync', 'repair-' || event_no, sha256(convert_to('repair-' || event_no, 'UTF8')),
            'partnership-changed', upstream_no, downstream_no,
            json_build_object('terms', json_build_object('status', status, 'exclusive', exclusive,
                                                         'data_sync', data_sync,
                                                         'allow_downstream_edit', allow_downstream_edit),
                              'onboarding', 'existing-organization'),
            'accepted'
       from repair
), changes as (
     insert into change (change_no, event_no, cause_no, organization_no, downstream_no, beginning, merges)
     select change_no, event_no, event_no, upstream_no, downstream_no, 'repair', false
       from repair
), letters as (
     insert into letter (shard, position, cause_no, event_no, kind, organization_no, weight)
     select (downstream_no % 16)::smallint, event_no, change_no, event_no, 'reconcile', downstream_no, weight
       from repair
      order by event_no
)
select 'repair-' || r.event_no as event_id,
       r.change_no || '-' || r.downstream_no as idempotency_key,
       upstream.organization_id as upstream_id,
       downstream.organization_id
  from repair r
  join organization upstream on upstream.organization_no = r.upstream_no
  join organization downstream on downstream.organization_no = r.downstream_no
 order by r.event_no
