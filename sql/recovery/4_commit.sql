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
