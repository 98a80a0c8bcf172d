-- Which programs may work on this schema: those that have the migration of this number, or a later one, among theirs.
-- Two versions work side by side while one replaces the other, so a migration adds what the version before can live
-- with, and leaves this alone. One that takes something away replaces the view, in a release of its own (CONTRIBUTING.md).
create view schema_support as
select 8 as oldest_version;
