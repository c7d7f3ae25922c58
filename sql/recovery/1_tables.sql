-- Connection state recovery of socketio-pg: sessions of clients, and what was sent to them.
-- For PostgreSQL 13 and later. It can be run again at any time: grants and what is kept stay.
do $$
declare
  others text;
begin
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('socketio-pg sql', 0));
  -- CREATE SCHEMA IF NOT EXISTS wants the right to create one also where it is there.
  if pg_catalog.to_regnamespace('socketio') is null then
    create schema socketio;
  end if;
  -- Functions here run with the rights of their owner, so nobody else may own what they use, or put something in its
  -- place: triggers of a table, another function of the same name.
  select pg_catalog.string_agg(distinct owner, ', ') into others
    from (
      select nspowner as own from pg_catalog.pg_namespace
        where oid = 'socketio'::pg_catalog.regnamespace::pg_catalog.oid
      union all
      select proowner from pg_catalog.pg_proc
        where pronamespace = 'socketio'::pg_catalog.regnamespace::pg_catalog.oid
      union all
      select relowner from pg_catalog.pg_class
        where relnamespace = 'socketio'::pg_catalog.regnamespace::pg_catalog.oid
      union all
      select grantee from pg_catalog.pg_namespace, pg_catalog.aclexplode(nspacl)
        where pg_namespace.oid = 'socketio'::pg_catalog.regnamespace::pg_catalog.oid and privilege_type = 'CREATE'
    ) as found
    cross join lateral pg_catalog.quote_ident(
      case when own = 0::pg_catalog.oid then 'public' else pg_catalog.pg_get_userbyid(own) end) as owner
    where own not in (select oid from pg_catalog.pg_roles where rolsuper or rolname = current_user);
  if others is not null then
    raise exception using errcode = 'insufficient_privilege',
      message = 'Cannot keep what recovery needs in schema socketio as it, or something in it, belongs to others, '
        || 'or they may create something there: ' || others,
      hint = 'Install as its owner (SET ROLE), or REVOKE CREATE ON SCHEMA socketio. If you do not know it, drop it: '
        || 'DROP SCHEMA socketio CASCADE.';
  end if;
end
$$;

-- Numbers in the order of commits. That of a frame is that of its first message, and those that share it have the numbers
-- behind that. After a crash the last ones could be given again, so it starts anew with the clock
-- then, see _recovery_alive(): microseconds since 1970.
create sequence if not exists socketio.recovery_number increment by 128;

-- Has a row as long as nothing has crashed, whatever the other tables survive.
create unlogged table if not exists socketio.recovery_alive (since timestamptz not null);

-- Where the log stands: one row, and none after a crash, when the tables are empty. What was sent is kept in three
-- parts, that are emptied in turn: each is written to for half of the time that things are kept.
create unlogged table if not exists socketio.recovery_state (
  -- The part that is written to, and since when.
  part smallint not null,
  since timestamptz not null,
  -- For how long, at least.
  retention interval not null,
  -- The first number of each part that holds something, and from when on.
  numbers bigint[] not null,
  times timestamptz[] not null
);

create table if not exists socketio.recovery_packets (
  part smallint not null,
  number bigint not null,
  -- Who it is for: the channel of a namespace, or that of one room, whatever channel it was sent on.
  key text collate "C" not null,
  channel text not null,
  -- Which frame of which process it is.
  origin text not null,
  frame text not null
) partition by list (part);

-- Frames are not compressed: that takes longer than it saves. Parts that are there already stay as they are, as changing
-- that would wait for whoever reads them, and everybody else for that.
do $$
begin
  if pg_catalog.to_regclass('socketio.recovery_packets_0') is null then
    alter table socketio.recovery_packets alter frame set storage external;
  end if;
end
$$;

create table if not exists socketio.recovery_sessions (
  part smallint not null,
  pid text collate "C" not null,
  -- The channels of its namespace and of its rooms.
  keys text[] not null,
  session text not null,
  left_at timestamptz not null,
  -- Which session of which process it was: what is kept once more, since nobody knows whether it was, is there once.
  origin text collate "C" not null,
  -- Who has taken it. It stays until its part is emptied, or it could be kept once more after that.
  taker text collate "C"
) partition by list (part);

-- A frame stays in its row, if it fits.
create unlogged table if not exists socketio.recovery_packets_0 partition of socketio.recovery_packets
  for values in (0) with (toast_tuple_target = 8160);
create unlogged table if not exists socketio.recovery_packets_1 partition of socketio.recovery_packets
  for values in (1) with (toast_tuple_target = 8160);
create unlogged table if not exists socketio.recovery_packets_2 partition of socketio.recovery_packets
  for values in (2) with (toast_tuple_target = 8160);
-- For transactions that cannot see which part it is now: their snapshot is of their beginning.
create unlogged table if not exists socketio.recovery_packets_3 partition of socketio.recovery_packets
  for values in (3) with (toast_tuple_target = 8160);
create unlogged table if not exists socketio.recovery_sessions_0 partition of socketio.recovery_sessions for values in (0);
create unlogged table if not exists socketio.recovery_sessions_1 partition of socketio.recovery_sessions for values in (1);
create unlogged table if not exists socketio.recovery_sessions_2 partition of socketio.recovery_sessions for values in (2);
create index if not exists recovery_packets_key on socketio.recovery_packets (key, number);
create index if not exists recovery_sessions_pid on socketio.recovery_sessions (pid);

create or replace function socketio.recovery_version() returns integer
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$ select 1 $$;
