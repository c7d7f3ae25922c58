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
