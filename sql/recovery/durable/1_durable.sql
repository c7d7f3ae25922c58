-- Tables that were there before become durable, too. What is kept stays, unless that is much: to write it once more takes
-- a while, in which nobody could send anything.
do $$
declare
  found pg_catalog.regclass;
  tables pg_catalog.regclass[];
begin
  select pg_catalog.array_agg(oid::pg_catalog.regclass) into tables from pg_catalog.pg_class
    where relnamespace = 'socketio'::pg_catalog.regnamespace::pg_catalog.oid and relkind = 'r' and relpersistence = 'u'
      and relname ~ '^recovery_(state|packets_[0-9]|sessions_[0-9])$';
  if tables is null then return; end if;
  -- As whoever writes to them does, so that nobody waits for two things at once.
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('socketio-pg recovery', 0));
  if 33554432 < (
    select pg_catalog.sum(pg_catalog.pg_total_relation_size(each)) from pg_catalog.unnest(tables) as each)
  then
    truncate socketio.recovery_packets, socketio.recovery_sessions, socketio.recovery_state;
  end if;
  foreach found in array tables loop
    execute pg_catalog.format('alter table %s set logged', found);
  end loop;
end
$$;
