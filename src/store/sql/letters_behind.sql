-- Which of the letters given ($1, about an organization $2, at a position $3) read an organization that has
-- earlier letters of its own outside this batch ($4). One such letter is looked for: see shards_lock_empty. Index:
-- letter_organization.
select r.letter_no
  from unnest($1::bigint[], $2::int[], $3::bigint[]) r (letter_no, organization_no, position)
 where (select true
          from letter l
         where l.organization_no = r.organization_no
           and l.position < r.position
           and l.letter_no <> all($4::bigint[])
         limit 1)
