-- Names to look for similar ones among, when one is not known: those that share a beginning or contain it
-- come first, $2 at most. Reads all names, on the way to an error message only.
select organization_id
  from organization
 order by left(organization_id, 3) = left($1::text, 3) desc,
          strpos(lower(organization_id), lower($1::text)) > 0 desc,
          organization_id
 limit $2
