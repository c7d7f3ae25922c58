/** What `sql/recovery/` holds. Made by scripts/sql_text.ts: change the files there, and run it. */
export const RECOVERY_SQL_TEXT: string = String.raw`
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

-- After a crash, numbers start anew: well behind those that were lost, also where the clock has been put back.
create or replace function socketio._recovery_alive() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform setval('socketio.recovery_number', greatest(
    nextval('socketio.recovery_number') + 128000000, (extract(epoch from clock_timestamp()) * 1000000)::bigint));
  insert into socketio.recovery_alive values (clock_timestamp());
end
$$;

-- What survives a crash is on the disk before anybody hears of it: who had it and who missed it would differ after that.
create or replace function socketio._recovery_sync() returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  if current_setting('synchronous_commit') = 'off' and 'p' = (
    select relpersistence from pg_class where oid = 'socketio.recovery_packets_0'::regclass)
  then
    perform set_config('synchronous_commit', 'on', true);
  end if;
end
$$;

-- Whoever gets a number holds this lock until its transaction is over: numbers come in the order of commits.
create or replace function socketio._recovery_state() returns socketio.recovery_state
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  state socketio.recovery_state;
begin
  perform pg_advisory_xact_lock(hashtextextended('socketio-pg recovery', 0));
  if not exists (select from socketio.recovery_alive) then perform socketio._recovery_alive(); end if;
  perform socketio._recovery_sync();
  select * into state from socketio.recovery_state;
  if state.part is null then
    -- The first time, or after a crash: what is in the tables now is from before.
    truncate socketio.recovery_packets, socketio.recovery_sessions, socketio.recovery_state;
    insert into socketio.recovery_state
      values (0, clock_timestamp(), interval '3 minutes',
        array[nextval('socketio.recovery_number'), null, null], array[clock_timestamp(), null, null])
      returning * into state;
  elsif clock_timestamp() > state.since + state.retention / 2 then
    state := socketio._recovery_turn(state);
  end if;
  return state;
end
$$;

-- Empties the part that was written to longest ago, to write to it from now on.
create or replace function socketio._recovery_turn(state socketio.recovery_state) returns socketio.recovery_state
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
  next smallint := (state.part + 1) % 3;
begin
  begin
    -- Who reads it, as a backup may do for hours, is not waited for: nobody could write meanwhile.
    execute format('lock table socketio.recovery_packets_%s, socketio.recovery_sessions_%s in access exclusive mode nowait',
      next, next);
  exception when lock_not_available then
    -- Tried again later, not with each packet.
    update socketio.recovery_state set since = clock_timestamp() - retention / 2 + interval '10 seconds'
      returning * into state;
    return state;
  end;
  execute format('truncate socketio.recovery_packets_%s, socketio.recovery_sessions_%s', next, next);
  state.numbers[next + 1] := nextval('socketio.recovery_number');
  state.times[next + 1] := clock_timestamp();
  delete from socketio.recovery_packets_3 where number < (select min(each) from unnest(state.numbers) each);
  update socketio.recovery_state
    set part = next, since = clock_timestamp(), numbers = state.numbers, times = state.times
    returning * into state;
  return state;
end
$$;

-- A server starts: what was sent is kept for so many milliseconds from now on. The last one to start decides.
create or replace function socketio.recovery_begin(retention_ms double precision) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  wanted interval := retention_ms * interval '1 millisecond';
  state socketio.recovery_state;
begin
  select * into state from socketio.recovery_state;
  -- Mostly nobody has to wait: a hundred servers may be back at once.
  if state.part is null or state.retention <> wanted then
    state := socketio._recovery_state();
    update socketio.recovery_state set retention = wanted;
  end if;
  return (select last_value from socketio.recovery_number);
end
$$;

-- Notifies, and keeps what has a key. What is sent once more, since nobody knows whether it was committed, says which
-- number was the last that its sender knew of.
create or replace function socketio.recovery_notify(channel text, payload text, key text, origin text, after bigint)
returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  part smallint := 3;
  given bigint;
begin
  if key is null then
    perform pg_notify(channel, payload);
    return null;
  end if;
  if current_setting('transaction_isolation') in ('repeatable read', 'serializable') then
    -- The state that it sees is that of its beginning, and what it changed there could fail it.
    perform pg_advisory_xact_lock(hashtextextended('socketio-pg recovery', 0));
    if not exists (select from socketio.recovery_alive) then perform socketio._recovery_alive(); end if;
  else
    part := (socketio._recovery_state()).part;
  end if;
  if after is not null then
    select packets.number into given from socketio.recovery_packets packets
      where packets.key = recovery_notify.key and packets.number > after and packets.origin = recovery_notify.origin;
  end if;
  if given is null then
    given := nextval('socketio.recovery_number');
    insert into socketio.recovery_packets values (part, given, key, channel, origin, payload);
  end if;
  perform pg_notify(channel, '@' || given || ';' || payload);
  return given;
end
$$;

-- The same for many frames of one process, each of them sent for the first time, in less time. The numbers, in their
-- order, are joined by commas, with nothing for those that are not kept.
--
-- Arrays are unnested where they are selected: in FROM each frame would be copied, and once more to put into order what
-- is in order: rows come as the arrays have them.
create or replace function socketio.recovery_notify_all(
  channels text[], payloads text[], keys text[], uid text, sequences bigint[])
returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  state socketio.recovery_state := socketio._recovery_state();
  numbers bigint[];
begin
  select array_agg(case when frame.key is not null then nextval('socketio.recovery_number') end order by frame.place)
    into numbers from unnest(keys) with ordinality as frame (key, place);
  insert into socketio.recovery_packets
    select state.part, frame.number, frame.key, frame.channel, uid || ':' || frame.sequence, frame.payload
    from (
      select unnest(numbers) as number, unnest(keys) as key, unnest(channels) as channel,
        unnest(sequences) as sequence, unnest(payloads) as payload
    ) as frame
    where frame.key is not null;
  perform pg_notify(frame.channel,
      case when frame.number is null then frame.payload else '@' || frame.number || ';' || frame.payload end)
    from (
      select unnest(channels) as channel, unnest(numbers) as number, unnest(payloads) as payload
    ) as frame;
  return array_to_string(numbers, ',', '');
end
$$;

-- Keeps sessions of clients that have left, so many milliseconds ago; those that are there already stay as they are.
create or replace function socketio.recovery_keep(sessions json) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  state socketio.recovery_state := socketio._recovery_state();
begin
  insert into socketio.recovery_sessions
    select state.part, each.pid, each.keys, each.session, clock_timestamp() - each.ago * interval '1 millisecond',
      each.origin
    from json_to_recordset(sessions)
      as each (pid text, keys text[], session text, ago double precision, origin text)
    where not exists (
      select from socketio.recovery_sessions kept where kept.pid = each.pid and kept.origin = each.origin);
end
$$;

-- Takes a session, which nobody else gets then, and what was sent to it after a number. The same taker may ask again.
--
-- The first row has the session, and the last number that there is. A row without them says that it is too old, or that
-- not all can be told; no row that there is no such session, or not yet.
create or replace function socketio.recovery_restore(
  pid text, namespace text, after bigint, max_ms double precision, margin_ms double precision, max_packets integer,
  taker text)
returns table (number bigint, channel text, frame text)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  kept socketio.recovery_sessions;
  state socketio.recovery_state;
  last bigint;
  first bigint;
  complete_since timestamptz;
begin
  -- After a crash nobody else may get it either.
  perform socketio._recovery_sync();
  -- Before anything is looked at: no part is emptied while this locks them all.
  update socketio.recovery_sessions sessions set taker = recovery_restore.taker
    where sessions.pid = recovery_restore.pid and sessions.keys[1] = namespace and sessions.taker is null;
  -- One that was left over from an earlier time is taken with it, and is not what the client left last.
  select * into kept from socketio.recovery_sessions sessions
    where sessions.pid = recovery_restore.pid and sessions.keys[1] = namespace
      and sessions.taker = recovery_restore.taker
    order by sessions.left_at desc limit 1;
  -- One that was taken says nothing of the next: a client may be back before the server that it left has kept that.
  if kept.pid is null then return; end if;
  select * into state from socketio.recovery_state;
  select min(each) into first from unnest(state.numbers) each;
  select min(each) into complete_since from unnest(state.times) each;
  select last_value into last from socketio.recovery_number;
  if kept.left_at < clock_timestamp() - max_ms * interval '1 millisecond'
    -- Of the future, or of before a crash.
    or first is null or after >= last + 128
    -- What was sent before that was received, or the connection would have been given up: nothing is missing then.
    or after < first and complete_since > kept.left_at - margin_ms * interval '1 millisecond'
    or max_packets < (select count(*) from (
      select from socketio.recovery_packets packets
        where packets.key = any (kept.keys) and packets.number > after - 128 limit max_packets + 1) few)
  then
    return query select null::bigint, null::text, null::text;
    return;
  end if;
  return query select last, null::text, kept.session;
  return query select packets.number, packets.channel, packets.frame from socketio.recovery_packets packets
    -- With the frame that the last packet was in: there may be more in it.
    where packets.key = any (kept.keys) and packets.number > after - 128 and packets.number <= last
    order by packets.number;
end
$$;

-- The pieces of what did not fit into one frame each; none at all when they are more than so many bytes.
create or replace function socketio.recovery_pieces(keys text[], max_bytes bigint)
returns table (key text, channel text, frame text)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select packets.key, packets.channel, packets.frame from socketio.recovery_packets packets
    where packets.key = any (keys) and max_bytes >= (
      select coalesce(sum(octet_length(each.frame)), 0) from socketio.recovery_packets each
        where each.key = any (keys))
    order by packets.number
$$;

-- What is sent in somebody's transaction is kept and notified when that commits: whoever has a number holds up all others
-- until its transaction is over. A row is here from the call to the commit, and nobody else ever sees it.
--
-- Rows come and go with each statement, so what is dead is cleaned up as soon as autovacuum looks.
create unlogged table if not exists socketio.recovery_pending (
  items json not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 1);

-- It runs as whoever commits, with rights of its own.
create or replace function socketio._recovery_commit() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  item record;
begin
  for item in
    select * from json_to_recordset(new.items) as each (channel text, payload text, key text, origin text)
  loop
    perform socketio.recovery_notify(item.channel, item.payload, item.key, item.origin, null);
  end loop;
  delete from socketio.recovery_pending where ctid = new.ctid;
  return null;
end
$$;

do $$
begin
  -- Deferred triggers fire before PostgreSQL puts the notifications of a transaction into its queue, in the order of the rows.
  if not exists (
    select from pg_catalog.pg_trigger
    where tgrelid = 'socketio.recovery_pending'::pg_catalog.regclass and tgname = 'recovery_commit'
  ) then
    create constraint trigger recovery_commit after insert on socketio.recovery_pending
      deferrable initially deferred for each row execute function socketio._recovery_commit();
    -- Also where session_replication_role keeps others from firing: what is said is said.
    alter table socketio.recovery_pending enable always trigger recovery_commit;
  end if;
end
$$;

-- Notifies when the transaction commits, in the order of the calls, and keeps what has a key: objects with "channel",
-- "payload" and, for what is kept, "key" and "origin".
create or replace function socketio.recovery_send(items json) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  -- After SET CONSTRAINTS ALL IMMEDIATE the first one would hold up everybody until the end.
  set constraints socketio.recovery_commit deferred;
  insert into socketio.recovery_pending values (items);
end
$$;

-- Nobody but the role that installs them and those it grants them to.
revoke all on function
  socketio._recovery_alive(),
  socketio._recovery_sync(),
  socketio._recovery_state(),
  socketio._recovery_turn(socketio.recovery_state),
  socketio.recovery_begin(double precision),
  socketio.recovery_notify(text, text, text, text, bigint),
  socketio.recovery_notify_all(text[], text[], text[], text, bigint[]),
  socketio.recovery_keep(json),
  socketio.recovery_restore(text, text, bigint, double precision, double precision, integer, text),
  socketio.recovery_pieces(text[], bigint),
  socketio._recovery_commit(),
  socketio.recovery_send(json)
from public;
`;
