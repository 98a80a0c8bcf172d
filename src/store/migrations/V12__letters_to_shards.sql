-- The letters to whole shards, without reading all others. Where many letters of organizations that are held wait,
-- those of the others are looked for by organization (letter_organization); letters to shards have none.
-- Nobody writes letters while the index is built. It reads all that wait: some 75 ms for 300,000.
create index letter_to_shard on letter (shard, position, cause_no, letter_no) where organization_no is null;
