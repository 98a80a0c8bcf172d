-- The first letter of each of these organizations, however many wait behind it. Index: letter_organization.
select l.letter_no
  from unnest($1::int[]) o (organization_no)
 cross join lateral (
       select letter_no
         from letter
        where letter.organization_no = o.organization_no
        order by position, cause_no, letter_no
        limit 1
 ) l
