-- The catalogue that the service runs with, for the views.
with gone as (delete from category where name <> all($1::text[]))
insert into category (name, kind, reach)
select c.name, c.kind::setting_kind, c.reach::setting_reach
  from unnest($1::text[], $2::text[], $3::text[]) c (name, kind, reach)
    on conflict (name) do update set kind = excluded.kind, reach = excluded.reach
