/** What `sql/recovery/durable/` holds. Made by scripts/sql_text.ts: change the files there, and run it. */
export const DURABLE_SQL_TEXT: string = String.raw`
-- Tables that were there before become durable, too.
do $$
declare
  found pg_catalog.regclass;
begin
  for found in
    select oid::pg_catalog.regclass from pg_catalog.pg_class
    where relnamespace = 'socketio'::pg_catalog.regnamespace::pg_catalog.oid and relkind = 'r' and relpersistence = 'u'
      and relname ~ '^recovery_(state|packets_[0-9]|sessions_[0-9])$'
  loop
    -- As whoever writes to them does, so that nobody waits for two things at once.
    perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('socketio-pg recovery', 0));
    execute pg_catalog.format('alter table %s set logged', found);
  end loop;
end
$$;
`;
