-- Socket.IO from SQL: functions that emit to the clients of a cluster of socketio-pg.
-- For PostgreSQL 13 and later. It can be run again at any time: grants, prefix and secret stay.
-- No table, no extension; the role that runs it needs CREATE on the database, the first time, and is the only one, but for
-- superusers, who may own the schema and its functions.
do $$
declare
  theirs text;
  others text;
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
  -- Who may create schemas could have made this one, and functions in it that ours would call with their own rights.
  -- Types are compared with the same type: for two that differ somebody may have made an operator in a schema of the path.
  select
      pg_catalog.string_agg(what || ' of ' || owner, ', ' order by n, what),
      pg_catalog.string_agg(distinct owner, ', ')
    into theirs, others
    from (
      select 1 as n, 'schema socketio' as what, nspowner as own from pg_catalog.pg_namespace
        where oid = 'socketio'::pg_catalog.regnamespace::pg_catalog.oid
      union all
      select 2, oid::pg_catalog.regprocedure::text, proowner from pg_catalog.pg_proc
        where pronamespace = 'socketio'::pg_catalog.regnamespace::pg_catalog.oid
      union all
      select 3, 'socketio.secret', relowner from pg_catalog.pg_class
        where relnamespace = 'socketio'::pg_catalog.regnamespace::pg_catalog.oid and relname = 'secret'
    ) as found
    cross join lateral pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(own)) as owner
    where own not in (select oid from pg_catalog.pg_roles where rolsuper or rolname = current_user);
  if theirs is not null then
    raise exception using errcode = 'insufficient_privilege',
      message = 'Cannot install the functions of socketio-pg as schema socketio, or something in it, belongs to others: '
        || others,
      detail = 'Others than ' || pg_catalog.quote_ident(current_user) || ' and superusers own '
        || case when pg_catalog.length(theirs) > 500 then pg_catalog.left(theirs, 500) || ' ...' else theirs end,
      hint = 'If that is right, install as its owner (SET ROLE ' || others
        || '). If you do not know it, drop it: DROP SCHEMA socketio CASCADE.';
  end if;
  select pg_catalog.string_agg(distinct case when grantee = 0::pg_catalog.oid then 'public'
      else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(grantee)) end, ', ')
    into others
    from pg_catalog.pg_namespace, pg_catalog.aclexplode(nspacl)
    where pg_namespace.oid = 'socketio'::pg_catalog.regnamespace::pg_catalog.oid and privilege_type = 'CREATE'
      and grantee not in (select oid from pg_catalog.pg_roles where rolsuper or rolname = current_user);
  if others is not null then
    raise exception using errcode = 'insufficient_privilege',
      message = 'Cannot install the functions of socketio-pg as others may create functions in schema socketio: ' || others,
      hint = 'REVOKE CREATE ON SCHEMA socketio FROM ' || others;
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
