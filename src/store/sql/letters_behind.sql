-- Which of the letters given ($1, about an organization $2, at a position $3) read an organization that has
-- earlier letters of its own outside this batch ($4). Index: letter_organization.
select r.letter_no
  from unnest($1::bigint[], $2::int[], $3::bigint[]) r (letter_no, organization_no, position)
 where exists (
       select from letter l
        where l.organization_no = r.organization_no
          and l.position < r.position
          and l.letter_no <> all($4::bigint[]))
