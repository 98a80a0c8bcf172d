-- A database as it is after two months at a large company, made by set-based statements in place of messages. Each row
-- is one that the service would have written, and refers to rows that are there: every row of the views makes sense.
-- A line that begins with `-- step:` begins a step, which is a transaction of its own.
--
-- Who: helios has 6,000 partners, 200 of which (regions) have 20 dealers each, so an event of helios comes to 10,000
-- organizations. sunwise has 1,500 partners, 870 of which it shares with helios; 100 managers have 5 installers each.
-- That makes 12,000 partnerships in all modes.
--
-- What: in each of 1,450 hours helios makes one event (three of ten add an entry, one of ten sets a default, the others
-- change an entry), and partners and managers make 207 more. The last three hours still wait, and have waited since
-- all execution was paused.
--
-- Numbers: the hour h has the numbers from 100,000 + 1,000 × h on: helios's event, its change (+ 1), those of the
-- regions (+ 2 to + 201), the events of everybody else (from + 300 on, two numbers each).

-- step: organizations
create temp table cast_member as
select row_number() over (order by place, no)::int as organization_no, name, role, no::int, of_no::int
  from (select 1 as place, 1 as no, 'helios' as name, 'helios' as role, null::int as of_no
        union all select 2, no, 'region-' || to_char(no, 'FM000'), 'region', null from generate_series(1, 200) no
        union all select 3, no, 'partner-' || to_char(no, 'FM00000'), 'partner', null from generate_series(1, 5800) no
        union all select 4, no, 'dealer-' || to_char(no, 'FM00000'), 'dealer', 1 + (no - 1) / 20
                    from generate_series(1, 4000) no
        union all select 5, 1, 'sunwise', 'sunwise', null
        union all select 6, no, 'roofer-' || to_char(no, 'FM0000'), 'roofer', null from generate_series(1, 630) no
        union all select 7, no, 'manager-' || to_char(no, 'FM000'), 'manager', null from generate_series(1, 100) no
        union all select 8, no, 'installer-' || to_char(no, 'FM0000'), 'installer', 1 + (no - 1) / 5
                    from generate_series(1, 500) no) everybody;
create unique index on cast_member (role, no);

insert into organization (organization_no, organization_id) overriding system value
select organization_no, name from cast_member order by organization_no;
select setval(pg_get_serial_sequence('organization', 'organization_no'), (select max(organization_no) from organization));

create temp table bond as
select row_number() over (order by upstream_no, downstream_no)::int as no, b.*,
       mode <> 'off' or not ended as active, mode in ('strict', 'flexible') as exclusive
  from (select helios.organization_no as upstream_no, d.organization_no as downstream_no, d.role, d.no as member_no,
               false as ended, false as data_sync_off,
               case when d.role = 'region' or d.no % 20 < 12 then 'strict'
                    when d.no % 20 < 17 then 'flexible' else 'non-exclusive' end as mode
          from cast_member helios, cast_member d
         where helios.role = 'helios' and d.role in ('region', 'partner')
        union all
        select u.organization_no, d.organization_no, d.role, d.no, false, false,
               case when d.no % 2 = 0 then 'strict' else 'flexible' end
          from cast_member d join cast_member u on u.role = 'region' and u.no = d.of_no where d.role = 'dealer'
        union all
        select sunwise.organization_no, d.organization_no, d.role, d.no, false, false,
               case when d.role = 'roofer' then 'strict' else 'non-exclusive' end
          from cast_member sunwise, cast_member d
         where sunwise.role = 'sunwise' and (d.role = 'roofer' or (d.role = 'partner' and d.no % 20 >= 17))
        union all
        select u.organization_no, d.organization_no, d.role, d.no, d.no % 10 = 0, d.no % 10 = 1,
               case when d.no % 10 < 2 then 'off' when d.no % 10 < 5 then 'flexible' else 'strict' end
          from cast_member d join cast_member u on u.role = 'manager' and u.no = d.of_no where d.role = 'installer'
       ) b;
create index on bond (upstream_no);

-- step: values
create temp table new_value (no int, kind text, body text, value_id uuid);
-- As the service hashes them: the first 16 bytes of the SHA-256 of the canonical text.
insert into new_value (no, kind, body)
select no, 'module', format('{"area_m2":1.94,"cells":72,"name":"Helios Series 7 HSP-%s","watts":%s}', no, 380 + no % 60)
  from generate_series(0, 1999) no
union all
select no, 'own', format('{"name":"Own product %s","price_per_watt":%s.%s}', no, no % 4, 10 + no % 90)
  from generate_series(0, 199999) no;
update new_value set value_id = left(encode(sha256(convert_to(body, 'UTF8')), 'hex'), 32)::uuid;
create unique index on new_value (kind, no);
insert into value (value_id, body) select distinct on (value_id) value_id, body::jsonb from new_value;

-- step: beginnings of partnerships
-- 290 partners had ten entries of their own, which the match at the beginning displaced.
create temp table before as
select row_number() over (order by member_no)::int as no, downstream_no, upstream_no, no as bond_no
  from bond where role = 'partner' and member_no % 20 = 0;

insert into event (event_no, source, event_id, content, type, organization_no, category, payload, verdict, received_at)
select b.no, 'platform', 'import-' || b.no, sha256(('import-' || b.no)::bytea), 'setting-changed', b.downstream_no,
       'equipment',
       (select json_build_object('changes', json_agg(json_build_array('own/before-' || k, replace(v.value_id::text, '-', ''))
                                                     order by k))
          from generate_series(0, 9) k join new_value v on v.kind = 'own' and v.no = b.no * 10 + k),
       'accepted', now() - interval '70 days'
  from before b order by b.no;
insert into job (cause_no, organization_no, attempts, added, finished_at)
select no, downstream_no, 1, 10, now() - interval '70 days' + interval '200 ms' from before order by no;

insert into event (event_no, source, event_id, content, type, organization_no, downstream_no, payload, verdict,
                   received_at)
select 1000 + 2 * no, 'platform', 'partnership-' || no, sha256(('partnership-' || no)::bytea), 'partnership-changed',
       upstream_no, downstream_no,
       json_build_object('terms', json_build_object('status', 'active', 'exclusive', exclusive, 'data_sync',
                                                    not data_sync_off, 'allow_downstream_edit', mode <> 'strict'),
                         'onboarding', 'existing-organization'),
       'accepted', now() - interval '65 days' + no * interval '5 s'
  from bond order by no;
insert into change (change_no, event_no, cause_no, organization_no, downstream_no, beginning, merges, made_at)
select 1001 + 2 * no, 1000 + 2 * no, 1000 + 2 * no, upstream_no, downstream_no, 'existing-organization', false,
       now() - interval '65 days' + no * interval '5 s' + interval '30 ms'
  from bond where not data_sync_off order by no;
insert into job (cause_no, organization_no, attempts, removed, skipped, finished_at)
select * from (
       select 1000 + 2 * no as cause_no, downstream_no, 1, 0,
              case when data_sync_off then 'the mode stays off'
                   else 'the mode changes from off to ' || case when mode = 'off' then 'flexible' else mode end
                        || '; a reconcile follows' end,
              now() - interval '65 days' + no * interval '5 s' + interval '30 ms'
         from bond
       union all
       select 1001 + 2 * b.no, b.downstream_no, 1, case when before.no is null then 0 else 10 end,
              case when before.no is null then 'the upstream has no settings that the rules sync here' end,
              now() - interval '65 days' + b.no * interval '5 s' + interval '60 ms'
         from bond b left join before on before.bond_no = b.no where not b.data_sync_off
       ) j order by 1;
insert into archived_setting (cause_no, organization_no, category, key, value_id, origin_no, event_no)
select 1001 + 2 * b.bond_no, b.downstream_no, 'equipment', 'own/before-' || k, v.value_id, null, b.no
  from before b cross join generate_series(0, 9) k join new_value v on v.kind = 'own' and v.no = b.no * 10 + k;

-- Those that ended did so a day later.
insert into event (event_no, source, event_id, content, type, organization_no, downstream_no, payload, verdict,
                   received_at)
select 40000 + no, 'platform', 'partnership-' || no || '-end', sha256(('partnership-end' || no)::bytea),
       'partnership-changed', upstream_no, downstream_no,
       '{"terms":{"status":"ended","exclusive":false,"data_sync":true,"allow_downstream_edit":true},"onboarding":"existing-organization"}',
       'accepted', now() - interval '64 days'
  from bond where ended order by no;
insert into job (cause_no, organization_no, attempts, skipped, finished_at)
select 40000 + no, downstream_no, 1, 'the mode changes from flexible to off', now() - interval '64 days' + interval '40 ms'
  from bond where ended order by no;
insert into partnership (upstream_no, downstream_no, status, exclusive, data_sync, allow_downstream_edit, mode,
                         since_change_no, updated_at, event_no)
select upstream_no, downstream_no, case when ended then 'ended' else 'active' end::partnership_status,
       exclusive, not data_sync_off, mode <> 'strict', mode::partnership_mode, 0,
       now() - interval '65 days' + no * interval '5 s', case when ended then 40000 + no else 1000 + 2 * no end
  from bond order by no;

-- step: events of helios, hour by hour
create temp table hour as
select h, 100000::bigint + 1000 * h as event_no,
       now() - interval '20 min' - (1452 - h) * interval '1 h' as at,
       case when h % 10 < 3 or h >= 1450 then 'added' when h % 10 = 3 and h < 50 then 'default-added'
            when h % 10 = 3 then 'default' else 'changed' end as what,
       (count(*) filter (where h % 10 < 3 or h >= 1450) over (order by h))::int as entries
  from generate_series(0, 1452) h;
alter table hour add column entry int, add column category text collate "C", add column key text collate "C",
                 add column value_id uuid, add column merges boolean;
update hour
   set entry = case when what = 'added' then entries - 1
                    when what like 'default%' then (h / 10) % 5
                    else (h * 7919) % entries end;
update hour
   set category = case when what like 'default%' then 'default-costs'
                       when entry % 5 < 3 then 'equipment' when entry % 5 = 3 then 'adders' else 'persona-inventory' end,
       key = case when what like 'default%'
                  then (array['solar-module', 'inverter', 'battery', 'energy-efficiency', 'project'])[1 + entry]
                  else case when entry % 5 < 3 then 'module/hsp-' else 'item/' end || to_char(entry, 'FM00000') end,
       value_id = (select v.value_id from new_value v where v.kind = 'module' and v.no = h),
       merges = what = 'added';
create unique index on hour (h);

insert into event (event_no, source, event_id, content, type, organization_no, category, payload, verdict, received_at,
                   traceparent)
select event_no, 'platform', 'helios-' || h, sha256(('helios-' || h)::bytea), 'setting-changed', 1, category,
       json_build_object('changes', json_build_array(json_build_array(key, replace(value_id::text, '-', '')))),
       'accepted', at, '00-' || md5('trace' || h) || '-' || left(md5('span' || h), 16) || '-01'
  from hour order by h;
-- The last one waits in the mailbox of helios itself.
insert into change (change_no, event_no, cause_no, organization_no, category, merges, payload, made_at)
select event_no + 1 + tier_no, event_no, event_no + least(tier_no, 1), 1 + tier_no, category, merges,
       json_build_array(json_build_object(case when what like '%added' then 'added' else 'changed' end,
                                          json_build_array(key, replace(value_id::text, '-', '')))),
       at + (50 + tier_no) * interval '1 ms'
  from hour cross join generate_series(0, 200) tier_no
 where h < 1450 or (h < 1452 and tier_no = 0)
 order by 1;

-- step: jobs of helios's events, ten million
-- Whom an event comes to, by the place of its cause behind the event's number.
create temp table reach as
select 0 as cause_offset, 1 as organization_no, 'helios' as role, 0 as no, 'own' as mode
union all select 1, downstream_no, role, member_no, mode from bond where upstream_no = 1
union all select upstream_no, downstream_no, role, member_no, mode from bond where role = 'dealer';
create index on reach (cause_offset, organization_no);
-- What a job will not have done in the end.
create temp table exception (h int, organization_no int, state text, error text);
insert into exception
select 1440, organization_no, case when no % 70 = 3 then 'discarded' else 'failed' end,
       (array['new row violates check constraint "setting_value_check" (23514)',
              'value too long for type character varying (22001)',
              'the statement took longer than 30 s (57014)',
              'disk quota exceeded while writing the file base/16384/2619 (53100)'])[1 + no % 4]
  from reach where role = 'partner' and no % 7 = 3
union all
select 1442, organization_no, 'retrying', 'deadlock detected (40P01)' from reach where role = 'partner' and no % 50 = 7;
drop index job_organization;
do $$
declare
    this record;
begin
    for this in select * from hour where h < 1450 order by h loop
        insert into job (cause_no, organization_no, state, attempts, added, changed, skipped, last_error, finished_at)
        select this.event_no + r.cause_offset, r.organization_no, coalesce(x.state, 'succeeded')::job_state,
               case when x.state is null then 1 else 8 end,
               (x.state is null and this.what like '%added')::int, (x.state is null and this.what in ('changed', 'default'))::int,
               case when x.state = 'discarded' then 'discarded by ana: the partner is about to leave' end,
               x.error,
               this.at + (50 + r.organization_no / 100) * interval '1 ms'
          from reach r
          left join exception x on x.h = this.h and x.organization_no = r.organization_no
         where (this.merges or r.mode in ('own', 'strict'))
           and x.state is distinct from 'retrying'
         order by r.cause_offset, r.organization_no;
    end loop;
end $$;
insert into job (cause_no, organization_no, attempts, added, finished_at)
select event_no, 1, 1, 1, at + interval '50 ms' from hour where h in (1450, 1451);

-- step: events of everybody else, three hundred thousand
create temp table editor as
select row_number() over (order by organization_no)::int as no, organization_no, upstream_no
  from (select downstream_no as organization_no, upstream_no from bond
         where upstream_no <= 201 and mode <> 'strict') e;
create unique index on editor (no);
create temp table locked as
select row_number() over (order by downstream_no)::int as no, downstream_no as organization_no, u.name as upstream
  from bond join cast_member u on u.organization_no = bond.upstream_no
 where mode = 'strict' and bond.role in ('partner', 'dealer');
create unique index on locked (no);
create temp table act as
select h.h, j, h.event_no + 300 + 2 * j as event_no, h.at + (60 + j * 15) * interval '1 s' as at,
       case when j < 200 then 'own' when j < 202 then 'locked' when j = 202 then 'ignored' when j = 203 then 'superseded'
            when j = 204 then 'declines' when j = 205 and h.h < 40 then 'sunwise' when j = 205 then 'manager' end as what
  from hour h cross join generate_series(0, 205) j
 where h.h < 1450;
alter table act add column organization_no int, add column category text collate "C", add column entry int;
update act a
   set organization_no = case
         when what in ('own', 'superseded')
           then (select organization_no from editor where no = 1 + (a.h * 200 + a.j) * 31 % (select count(*) from editor))
         when what in ('locked') then (select organization_no from locked where no = 1 + (a.h * 2 + a.j) * 17 % (select count(*) from locked))
         when what = 'declines' then (select organization_no from editor where no = 1 + a.h * 3 % (select count(*) from editor))
         when what = 'sunwise' then (select organization_no from cast_member where role = 'sunwise')
         when what = 'manager' then (select organization_no from cast_member where role = 'manager' and no = 1 + a.h % 100)
         else 1
       end,
       category = case when what = 'ignored' then 'integrations' when what = 'declines' then null else 'adders' end,
       entry = case when what = 'declines' then a.h % (select entries from hour where h = a.h) end;
update act a set category = g.category from hour g where a.what = 'declines' and g.what = 'added' and g.entry = a.entry;
create unique index on act (h, j);
analyze act;
insert into event (event_no, source, event_id, content, type, organization_no, category, payload, verdict, received_at)
select a.event_no, case when a.j % 20 = 7 then 'backoffice' else 'platform' end, 'e-' || a.event_no,
       sha256(a.event_no::text::bytea), 'setting-changed', a.organization_no, a.category,
       case a.what
         when 'ignored' then null
         when 'declines' then json_build_object('changes', json_build_array(json_build_array(g.key, null)))
         when 'superseded' then json_build_object('version', 1, 'changes', json_build_array(
              json_build_array('own/' || a.event_no, replace(v.value_id::text, '-', ''))))
         else json_build_object('changes', json_build_array(
              json_build_array('own/' || a.event_no || '-a', replace(v.value_id::text, '-', '')),
              json_build_array('own/' || a.event_no || '-b', replace(v.value_id::text, '-', ''))))
       end,
       case when a.what in ('locked', 'ignored', 'superseded') then a.what else 'accepted' end::event_verdict, a.at
  from act a
  left join new_value v on v.kind = 'own' and v.no = (a.h * 206 + a.j) % 200000
  left join hour g on g.what = 'added' and g.entry = a.entry and a.what = 'declines'
 order by a.event_no;
insert into job (cause_no, organization_no, attempts, added, removed, skipped, finished_at)
select a.event_no, a.organization_no, 1, case when a.what in ('own', 'sunwise', 'manager') then 2 else 0 end,
       case when a.what = 'declines' then 1 else 0 end,
       case a.what when 'locked' then 'the settings are locked by ' || l.upstream
                   when 'superseded' then 'version 3 was seen before' end,
       a.at + interval '40 ms'
  from act a
  left join locked l on a.what = 'locked' and l.organization_no = a.organization_no
 where a.what <> 'ignored' order by 1;
insert into change (change_no, event_no, cause_no, organization_no, category, merges, payload, made_at)
select a.event_no + 1, a.event_no, a.event_no, a.organization_no, a.category, true,
       json_build_array(json_build_object('added', json_build_array('own/' || a.event_no || '-a', replace(v.value_id::text, '-', ''))),
                        json_build_object('added', json_build_array('own/' || a.event_no || '-b', replace(v.value_id::text, '-', '')))),
       a.at + interval '40 ms'
  from act a join new_value v on v.kind = 'own' and v.no = (a.h * 206 + a.j) % 200000
 where a.what in ('sunwise', 'manager') order by 1;
insert into job (cause_no, organization_no, attempts, added, finished_at)
select a.event_no + 1, b.downstream_no, 1, 2, a.at + interval '80 ms'
  from act a join bond b on b.upstream_no = a.organization_no
 where a.what in ('sunwise', 'manager') and b.mode <> 'off' order by 1, 2;
-- Found wrong when they ran: a second manager for a partner of an exclusive one.
create temp table conflict as
select h, event_no + 720 as event_no, at + interval '55 min' as at,
       (select d.organization_no from cast_member d where d.role = 'partner' and d.no = 1 + h % 10) as downstream_no,
       (select m.organization_no from cast_member m where m.role = 'manager' and m.no = 1 + h % 100) as upstream_no
  from hour where h % 10 = 0 and h < 1450;
insert into event (event_no, source, event_id, content, type, organization_no, downstream_no, payload, verdict,
                   received_at)
select event_no, 'platform', 'e-' || event_no, sha256(event_no::text::bytea), 'partnership-changed', upstream_no,
       downstream_no,
       '{"terms":{"status":"active","exclusive":true,"data_sync":true,"allow_downstream_edit":false},"onboarding":"existing-organization"}',
       'rejected', at
  from conflict;
insert into job (cause_no, organization_no, state, attempts, last_error, finished_at)
select event_no, downstream_no, 'discarded', 1,
       d.organization_id || ' cannot have an active partnership with ' || u.organization_id
       || ': its active partnership with helios is exclusive; expected that one to end first', at + interval '30 ms'
  from conflict
  join organization d on d.organization_no = downstream_no
  join organization u on u.organization_no = upstream_no;
create index job_organization on job (organization_no, cause_no);

-- step: settings, five million
create temp table removed as
select a.organization_no, g.category, g.key, min(a.event_no) as event_no
  from act a join hour g on g.what = 'added' and g.entry = a.entry where a.what = 'declines' group by 1, 2, 3;
insert into declined (downstream_no, upstream_no, category, key, event_no)
select r.organization_no, e.upstream_no, r.category, r.key, r.event_no from removed r join editor e using (organization_no);
-- The events by which each entry of helios came to be, and was last written: among those that merge, and among all.
create temp table entry as
select category, key,
       min(event_no) as added_no, max(event_no) as last_no, max(at) as last_at,
       (array_agg(value_id order by event_no desc))[1] as last_value,
       (array_agg(value_id order by event_no))[1] as first_value, min(at) as first_at, min(h) as first_h,
       bool_or(merges) as merges
  from hour where h < 1450 group by category, key;
insert into setting (organization_no, category, key, value_id, origin_no, event_no, added_event_no, updated_at)
select r.organization_no, e.category, e.key,
       case when r.mode in ('own', 'strict') then e.last_value else e.first_value end,
       case when r.role <> 'helios' then case when r.role = 'dealer' then r.cause_offset else 1 end end,
       case when r.mode in ('own', 'strict') then e.last_no else e.added_no end, e.added_no,
       case when r.mode in ('own', 'strict') then e.last_at else e.first_at end + interval '100 ms'
  from reach r
  join entry e on e.merges or r.mode in ('own', 'strict')
 where not exists (select from removed d where d.organization_no = r.organization_no and d.category = e.category
                                           and d.key = e.key)
   and not exists (select from exception x where x.organization_no = r.organization_no and x.h = e.first_h)
 order by r.organization_no, e.category, e.key;
insert into setting (organization_no, category, key, value_id, origin_no, event_no, added_event_no, updated_at)
select organization_no, category, key, value_id, origin_no, event_no, event_no, at
  from (select a.organization_no, a.category, 'own/' || a.event_no || half as key, v.value_id, null::int as origin_no,
               a.event_no, a.at + interval '40 ms' as at
          from act a cross join (values ('-a'), ('-b')) halves (half)
          join new_value v on v.kind = 'own' and v.no = (a.h * 206 + a.j) % 200000
         where a.what in ('own', 'sunwise', 'manager')
        union all
        select b.downstream_no, a.category, 'own/' || a.event_no || half, v.value_id, b.upstream_no, a.event_no,
               a.at + interval '80 ms'
          from act a cross join (values ('-a'), ('-b')) halves (half)
          join new_value v on v.kind = 'own' and v.no = (a.h * 206 + a.j) % 200000
          join bond b on b.upstream_no = a.organization_no and b.mode <> 'off'
         where a.what in ('sunwise', 'manager')) s
 order by organization_no, category, key collate "C";
-- helios has its newest two entries, on their way to everybody else.
insert into setting (organization_no, category, key, value_id, origin_no, event_no, added_event_no, updated_at)
select 1, category, key, value_id, null, event_no, event_no, at + interval '50 ms' from hour where h in (1450, 1451);

-- step: a catalogue of 25,000 entries
-- One installer without a manager that syncs has all products there are.
insert into event (event_no, source, event_id, content, type, organization_no, category, payload, verdict, received_at)
select 90000, 'platform', 'catalogue-1', sha256('catalogue-1'), 'setting-changed', organization_no, 'equipment',
       (select json_build_object('snapshot', json_agg(json_build_array('module/' || to_char(n, 'FM00000'),
                                                                      replace(v.value_id::text, '-', '')) order by n))
          from generate_series(1, 25000) n join new_value v on v.kind = 'own' and v.no = n),
       'accepted', now() - interval '62 days'
  from cast_member where role = 'installer' and no = 10;
insert into job (cause_no, organization_no, attempts, added, finished_at)
select 90000, organization_no, 1, 25000, now() - interval '62 days' + interval '900 ms'
  from cast_member where role = 'installer' and no = 10;
insert into setting (organization_no, category, key, value_id, origin_no, event_no, added_event_no, updated_at)
select m.organization_no, 'equipment', 'module/' || to_char(n, 'FM00000'), v.value_id, null, 90000, 90000,
       now() - interval '62 days' + interval '900 ms'
  from cast_member m, generate_series(1, 25000) n join new_value v on v.kind = 'own' and v.no = n
 where m.role = 'installer' and m.no = 10;

-- step: what waits
insert into letter (shard, position, cause_no, event_no, kind, organization_no, weight, attempts, last_error,
                    created_at, run_at)
select o.shard, h.event_no, h.event_no + 1, h.event_no, 'sync-change', x.organization_no, 1, 3, x.error,
       h.at + interval '50 ms', now() + interval '25 min'
  from exception x join hour h using (h) join organization o using (organization_no) where x.state = 'retrying';
insert into letter (shard, position, cause_no, event_no, kind, weight, created_at, run_at)
select shard, event_no, event_no + 1, event_no, 'sync-change', 375, at + interval '50 ms', at + interval '50 ms'
  from hour cross join generate_series(0, 15) shard where h in (1450, 1451);
insert into letter (shard, position, cause_no, event_no, kind, organization_no, weight, created_at, run_at)
select 1, event_no, event_no, event_no, 'own-change', 1, 1, at, at from hour where h = 1452;
insert into pause (organization_no, paused_by, reason, paused_at)
select null::int, 'ana', 'restoring a backup of the platform', now() - interval '3 h'
union all
select organization_no, 'bob', 'they are migrating', now() - interval '2 days'
  from cast_member where role = 'partner' and no between 11 and 40;

-- step: replays, rejected messages, actions
insert into replay (replay_no, requested_by, reason, filter, rate_per_second, state, total, sent, refused, next_at,
                    created_at, finished_at) overriding system value
select no, (array['ana', 'bob', 'chen'])[1 + no % 3], 'the disk is larger now', '{"error": "quota"}'::jsonb,
       case when no % 2 = 0 then 100 end, case when no % 50 = 7 then 'cancelled' else 'done' end::replay_state, 500, 495, 5,
       now(), now() - (300 - no) * interval '4 h', now() - (300 - no) * interval '4 h' + interval '10 s'
  from generate_series(1, 300) no
union all
select 301, 'ana', 'the constraint is gone', '{"error": "check constraint", "state": "failed"}', 10, 'running', 200, 20,
       0, now() + interval '1 day', now() - interval '30 min', null;
select setval(pg_get_serial_sequence('replay', 'replay_no'), 301);
insert into replay_job (replay_no, cause_no, organization_no, was, error, state, had_effect, reason)
select n.no, 100001 + 1000::bigint * (n.no * 4 - n.no * 4 % 10), r.organization_no, 'failed', 'disk quota exceeded (53100)',
       case when r.place % 100 = 1 then 'refused' else 'sent' end::replay_job_state, false,
       case when r.place % 100 = 1 then 'it has succeeded: done once more, it could undo what came later' end
  from generate_series(1, 300) n (no)
  join lateral (select organization_no, row_number() over (order by organization_no) as place
                  from reach where cause_offset = 1 order by organization_no limit 500) r on true;
insert into replay_job (replay_no, cause_no, organization_no, was, error, state, had_effect)
select 301, 1540001, organization_no, 'failed', error, 'waiting', false
  from exception where h = 1440 and state = 'failed' and error like 'new row%' order by organization_no limit 180;
insert into rejected_message (received_at, code, reason, body, properties, state, digest, settled_by, settled_reason,
                              settled_at)
select now() - (20000 - no) * interval '4 min', code,
       case code when 'malformed-json' then 'the body is not JSON at line 1, column 12; expected a value'
                 when 'unknown-category' then 'data.category is "rooofs"; expected a category of the catalogue'
                 when 'missing-field' then 'data.organization_id is missing; expected a text of 1 to 200 bytes'
                 when 'too-large' then 'the body has 1,048,577 bytes; expected at most 1,048,576'
                 else 'type is "setting-deleted"; expected setting-changed or partnership-changed' end,
       convert_to(format('{"specversion":"1.0","id":"r-%s","source":"platform","type":"setting-changed","data":{"category":"rooofs","changes":[]}} %s',
                         no, repeat('x', 800)), 'UTF8'),
       jsonb_build_object('routing_key', 'setting-changed.partner-' || no % 5800, 'redelivered', false),
       state::rejected_state, sha256(no::text::bytea),
       case when state <> 'rejected' then 'ana' end, case when state <> 'rejected' then 'the publisher was fixed' end,
       case when state <> 'rejected' then now() - (20000 - no) * interval '4 min' + interval '1 h' end
  from (select no, case when no % 4000 = 5 then 'too-large'
                        else (array['malformed-json', 'unknown-category', 'missing-field', 'unknown-type'])[1 + no % 4] end as code,
               case when no % 3 = 0 then 'discarded' when no % 3 = 1 and no < 15000 then 'replayed' else 'rejected' end as state
          from generate_series(1, 20000) no) r;
insert into rejected_message (received_at, code, reason, body, properties, state, digest, event_no)
select at, 'exclusive-conflict', j.last_error, '{}', '{"routing_key": "partnership-changed.manager-001"}', 'rejected',
       sha256(event_no::text::bytea), event_no
  from conflict join job j on j.cause_no = event_no and j.organization_no = downstream_no;
insert into operator_action (at, who, action, reason, subject)
select created_at, requested_by, 'replay', reason, jsonb_build_object('replay', replay_no) from replay order by replay_no;
insert into operator_action (at, who, action, reason, subject)
select paused_at, paused_by, 'pause', reason, '{}' from pause;
insert into operator_action (at, who, action, reason, subject)
select settled_at, settled_by, 'discard-rejected', settled_reason, jsonb_build_object('rejected_id', rejected_id)
  from rejected_message where state = 'discarded' order by rejected_id;

-- step: numbers
update organization o
   set last_change_no = last.change_no, last_position = last.position
  from (select organization_no, max(change_no) as change_no, max(event_no) as position
          from change where beginning is null group by organization_no) last
 where last.organization_no = o.organization_no;
select setval('cause_no', (select max(event_no) + 1000 from hour));
