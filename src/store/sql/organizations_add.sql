-- New organizations. Only those that were not found come here: a conflict would use up a number.
-- Sorted, so that two that add the same ones wait for each other in one order.
insert into organization (organization_id)
select id from unnest($1::text[]) id order by id
    on conflict (organization_id) do nothing
