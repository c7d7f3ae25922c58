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
