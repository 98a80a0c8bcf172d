-- helios is the channel manager of pac-energy (strict), which is that of leaf-solar (non-exclusive). One event
-- or job in every state. Times are far enough from the edges of what "ago" counts in.
set search_path = channel_sync;

insert into organization (organization_id)
values ('helios'), ('pac-energy'), ('leaf-solar'), ('nobody');

insert into partnership (upstream_no, downstream_no, status, exclusive, data_sync, allow_downstream_edit, mode,
                         since_change_no, updated_at)
values (1, 2, 'active', true,  true, false, 'strict',        0, now() - interval '50 min 30 s'),
       (2, 3, 'active', false, true, null,  'non-exclusive', 0, now() - interval '3 days 12 h'),
       (1, 3, 'ended',  false, true, true,  'off',           0, now() - interval '5 days 12 h');

insert into value (value_id, body)
values ('00000000-0000-0000-0000-000000000001', '{"watts": 430.0, "maker": "REC", "$serde_json::private::Number": "opaque"}'),
       ('00000000-0000-0000-0000-000000000002', '"a value of the downstream''s own"'),
       ('00000000-0000-0000-0000-000000000003', '1234567890123456789012345678901234567890.10'),
       ('00000000-0000-0000-0000-000000000004', '{"subject": "line one\nline two \u001b[31m", "body": "0123456789012345678901234567890123456789012345678901234567890123456789"}');

insert into event (event_no, source, event_id, content, type, organization_no, downstream_no, category, payload,
                   verdict, traceparent, received_at)
select event_no, source, event_id, sha256(event_no::text::bytea),
       case when downstream_no is null then 'setting-changed' else 'partnership-changed' end::event_type,
       organization_no, downstream_no, category, case when verdict <> 'ignored' then '{}'::json end,
       verdict::event_verdict, traceparent, now() - minutes * interval '1 min' - interval '30 s'
  from (values (1,  'platform', 'e-1', 1, null, 'equipment',      'accepted',   48,
                '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'),
               (4,  'platform', 'p-1', 1, 2,    null,             'accepted',   50,  null),
               (7,  'platform', 'e-2', 2, null, 'equipment',      'locked',     40,  null),
               (8,  'platform', 'e-3', 1, null, 'integrations',   'ignored',    39,  null),
               (9,  'platform', 'p-2', 4, 2,    null,             'rejected',   38,  null),
               (10, 'platform', 'e-4', 1, null, 'default-costs',  'accepted',   37,  null),
               (12, 'platform', 'e-5', 1, null, 'proposal-email', 'accepted',   2,   null),
               (13, 'backup',   'e-1', 1, null, 'equipment',      'superseded', 1,   null),
               (14, 'platform', 'e-0', 3, null, 'equipment',      'accepted',   500, null))
       e (event_no, source, event_id, organization_no, downstream_no, category, verdict, minutes, traceparent);

update event
   set payload = '{"terms":{"status":"active","exclusive":true,"data_sync":true,"allow_downstream_edit":false},
                   "onboarding":"existing-organization"}'
 where event_no = 4;

insert into change (change_no, event_no, cause_no, organization_no, category, downstream_no, beginning, merges,
                    payload, made_at)
values (2,  1,  1, 1, 'equipment', null, null, true,
        '[{"added":["module/rec-430","00000000000000000000000000000001"]},{"removed":"module/old"}]',
        now() - interval '48 min 20 s'),
       (3,  1,  2, 2, 'equipment', null, null, true,
        '[{"added":["module/rec-430","00000000000000000000000000000001"]}]', now() - interval '48 min 10 s'),
       (5,  4,  4, 1, null, 2, 'existing-organization', false, null, now() - interval '50 min 30 s'),
       (6,  4,  5, 2, 'equipment', null, null, true,
        '[{"changed":["module/own","00000000000000000000000000000003"]},{"removed":"module/mine"}]',
        now() - interval '50 min 20 s'),
       (11, 10, 10, 1, 'default-costs', null, null, false,
        '[{"added":["inverter","00000000000000000000000000000003"]}]', now() - interval '37 min 20 s');

insert into job (cause_no, organization_no, state, attempts, added, changed, removed, unchanged, kept_own, declined,
                 skipped, last_error, finished_at)
values (1,  1, 'succeeded', 1, 1, 0, 1, 0, 0, 0, null, null, now() - interval '48 min 20 s'),
       (2,  2, 'succeeded', 2, 1, 0, 0, 1, 0, 0, null, null, now() - interval '48 min 10 s'),
       (4,  2, 'succeeded', 1, 0, 0, 0, 0, 0, 0, 'the mode changes from off to strict; a reconcile follows', null,
        now() - interval '50 min 30 s'),
       (5,  2, 'succeeded', 1, 0, 1, 1, 12, 0, 0, null, null, now() - interval '50 min 20 s'),
       (6,  3, 'succeeded', 1, 0, 0, 0, 0, 1, 1, 'the downstream has entries of its own under these keys', null,
        now() - interval '50 min 10 s'),
       (7,  2, 'succeeded', 1, 0, 0, 0, 0, 0, 0, 'the settings are locked by helios', null,
        now() - interval '40 min 20 s'),
       (9,  2, 'discarded', 1, 0, 0, 0, 0, 0, 0, null,
        'pac-energy cannot have an active partnership with nobody: its active partnership with helios is exclusive; expected that one to end first',
        now() - interval '38 min 20 s'),
       (10, 1, 'succeeded', 1, 1, 0, 0, 0, 0, 0, null, null, now() - interval '37 min 20 s'),
       (11, 2, 'failed',    8, 0, 0, 0, 0, 0, 0, null, 'new row violates check constraint "x" (23514)',
        now() - interval '30 min 30 s'),
       (14, 3, 'succeeded', 1, 1, 0, 0, 0, 0, 0, null, null, now() - interval '8 h 10 min');

insert into letter (shard, position, cause_no, event_no, kind, organization_no, weight, attempts, last_error,
                    created_at, run_at)
values (3, 1,  3,  1,  'sync-change', 3, 1, 3, 'deadlock detected (40P01)', now() - interval '48 min 10 s',
        now() + interval '2 h 30 min'),
       (1, 12, 12, 12, 'own-change',  1, 1, 0, null, now() - interval '2 min 30 s', now() - interval '2 min 30 s');

insert into setting (organization_no, category, key, value_id, origin_no, event_no, added_event_no, updated_at)
values (1, 'equipment',         'module/rec-430', '00000000-0000-0000-0000-000000000001', null, 1,  1,
        now() - interval '48 min 20 s'),
       (2, 'default-costs',     'inverter',       '00000000-0000-0000-0000-000000000003', 1,    4,  4,
        now() - interval '50 min 20 s'),
       (2, 'equipment',         'module/rec-430', '00000000-0000-0000-0000-000000000001', 1,    1,  1,
        now() - interval '48 min 10 s'),
       (2, 'organization-logo', 'logo',           '00000000-0000-0000-0000-000000000002', null, 7,  7,
        now() - interval '40 min 20 s'),
       (2, 'proposal-email',    'invitation',     '00000000-0000-0000-0000-000000000004', 1,    4,  4,
        now() - interval '50 min 20 s');

insert into archived_setting (cause_no, organization_no, category, key, value_id, origin_no, event_no)
values (5, 2, 'equipment', 'module/mine', '00000000-0000-0000-0000-000000000002', null, 7),
       (5, 2, 'equipment', 'module/own',  '00000000-0000-0000-0000-000000000002', 3,    14);

insert into rejected_message (received_at, code, reason, body, properties, state, digest, event_no)
values (now() - interval '20 min 30 s', 'malformed-json',
        'the body is not UTF-8 from byte 12 on; expected JSON in UTF-8',
        '\x7b226964223a2022652d39fffe00220a7d', '{"redelivered": false, "routing_key": "setting-changed.helios"}',
        'rejected', 'a', null),
       (now() - interval '19 min 30 s', 'unknown-category',
        'data.category is "rooofs"; expected a category of the catalogue',
        '{"specversion":"1.0","id":"e-9","source":"platform","type":"setting-changed","data":{"organization_id":"helios","category":"rooofs","changes":[]}}',
        '{"content_type": "application/cloudevents+json", "delivery_mode": 2, "headers": {"x-trace": "t-1", "n": 1}}',
        'discarded', 'b', null),
       (now() - interval '18 min 30 s', 'exclusive-conflict',
        'pac-energy cannot have an active partnership with nobody: its active partnership with helios is exclusive; expected that one to end first',
        '{}', '{}', 'rejected', 'c', 9),
       (now() - interval '17 min 30 s', 'malformed-json',
        'the body is not JSON at line 1, column 1; expected a value',
        convert_to(E'hello\tthere\nsecond line \u001b[31mred', 'UTF8'), '{"content_type": "text/plain"}', 'rejected',
        'd', null),
       (now() - interval '16 min 30 s', 'malformed-json',
        'the body is not JSON at line 1, column 1; expected a value', '', '{}', 'replayed', 'e', null);

insert into operator_action (at, who, action, reason, subject)
values (now() - interval '45 min 30 s', 'ada', 'pause', 'they are migrating', '{"organization": "pac-energy"}'),
       (now() - interval '44 min 30 s', 'ben', 'resume', null, '{"organization": "pac-energy"}'),
       (now() - interval '5 min 30 s', 'ada', 'rejected discard', 'sent by mistake',
        '{"filter": {"ids": [2]}, "discarded": [2]}');
