-- Socket.IO from SQL: functions that emit to the clients of a cluster of socketio-pg.
-- For PostgreSQL 13 and later. It can be run again at any time: grants, prefix and secret stay.
-- No table, no extension; the role that runs it needs CREATE on the database, the first time.
do $$
begin
  if pg_catalog.current_setting('server_version_num')::integer < 130000 then
    raise exception using errcode = 'feature_not_supported',
      message = 'Cannot install the functions of socketio-pg as this is no PostgreSQL 13 or later: it is '
        || pg_catalog.current_setting('server_version');
  end if;
  if pg_catalog.getdatabaseencoding() <> 'UTF8' then
    raise exception using errcode = 'feature_not_supported',
      message = 'Cannot install the functions of socketio-pg as the database has another encoding than UTF8: it has '
        || pg_catalog.getdatabaseencoding();
  end if;
  -- Two that replace the same function at once make one of them fail.
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('socketio-pg sql', 0));
  -- CREATE SCHEMA IF NOT EXISTS wants the right to create one also where it is there.
  if pg_catalog.to_regnamespace('socketio') is null then
    create schema socketio;
  end if;
  -- What set_prefix() wrote stays.
  if pg_catalog.to_regprocedure('socketio._default_prefix()') is null then
    create function socketio._default_prefix() returns text
      language sql immutable parallel safe set search_path = pg_catalog, pg_temp
      as $prefix$ select 'socket.io'::text $prefix$;
  end if;
end
$$;

create or replace function socketio.version() returns integer
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$ select 1 $$;
